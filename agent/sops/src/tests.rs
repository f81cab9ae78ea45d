//! Files of the real SOPS, files that it might write, and files that must be refused.

mod age;
mod claims;
mod damage;
mod vectors;

use crate::{
    Identities, Opened, Problem, open,
    seal::{Sealer, TestKey},
};

/// The text that a file opens to, or the complaint about it without its name.
fn opened(path: &str, content: &str, identities: &Identities) -> Result<String, String> {
    outcome(path, content.as_bytes(), identities).map_err(|problem| problem.to_string())
}

fn outcome(path: &str, content: &[u8], identities: &Identities) -> Result<String, Problem> {
    match open(path, content, identities) {
        Ok(Opened::Plain) => Ok("(plain)".to_owned()),
        Ok(Opened::Decrypted(bytes)) => Ok(String::from_utf8(bytes.to_vec()).unwrap()),
        Err(error) => {
            assert_eq!(error.file, path);
            Err(error.problem)
        }
    }
}

/// A Secret with one value of each type.
fn secret(keys: &[TestKey]) -> String {
    let mut seal = Sealer::new(false);
    for text in ["v1", "Secret", "db"] {
        seal.clear(text);
    }
    let text = seal.value("stringData:text:", "str", "line one\nline \"two\"");
    let number = seal.value("stringData:number:", "int", "5432");
    let share = seal.value("stringData:share:", "float", "0.25");
    let switch = seal.value("stringData:switch:", "bool", "True");
    let item = seal.value("stringData:list:", "str", "ö: #1");
    let metadata = seal.metadata(keys, "    encrypted_regex: ^(data|stringData)$\n");
    format!(
        "apiVersion: v1\nkind: Secret # a comment\nmetadata:\n    name: db\nstringData:\n    \
         text: {text}\n    number: {number}\n    share: {share}\n    switch: {switch}\n    \
         empty: \"\"\n    nothing: null\n    list:\n        - {item}\n{metadata}"
    )
}

/// A dotenv file, with the metadata of SOPS folded into its keys.
fn dotenv(key: &TestKey) -> String {
    let mut seal = Sealer::new(false);
    let user = seal.value("USER:", "str", "admin");
    let lines = seal.value("LINES:", "str", "one\ntwo");
    seal.clear("db");
    let mac = seal.mac();
    let age = crate::seal::age(&[42; 32], key, "").replace('\n', "\\n");
    format!(
        "# about\nUSER={user}\nLINES={lines}\nHOST_unencrypted=db\nsops_age__list_0__map_enc={age}\n\
         sops_age__list_0__map_recipient={}\nsops_lastmodified={}\nsops_mac={mac}\n\
         sops_unencrypted_suffix=_unencrypted\nsops_version=3.10.2\n",
        key.recipient(),
        crate::seal::LAST_MODIFIED
    )
}

/// `{…, "sops": {…}}`, of a body with its values in place.
fn json(body: &str, seal: &mut Sealer, key: &TestKey) -> String {
    let mac = seal.mac();
    let age = crate::seal::age(&[42; 32], key, "").replace('\n', "\\n");
    format!(
        "{{\n\t{body},\n\t\"sops\": {{\n\t\t\"kms\": null,\n\t\t\"age\": [{{\"recipient\": \"{}\", \"enc\": \"{age}\"}}],\n\t\t\
         \"lastmodified\": \"{}\",\n\t\t\"mac\": \"{mac}\",\n\t\t\"version\": \"3.10.2\"\n\t}}\n}}",
        key.recipient(),
        crate::seal::LAST_MODIFIED
    )
}

fn binary(bytes: &[u8], key: &TestKey) -> String {
    let mut seal = Sealer::new(false);
    let data = seal.value("data:", "str", bytes);
    json(&format!("\"data\": \"{data}\""), &mut seal, key)
}
