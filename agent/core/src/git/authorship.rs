//! Who made a commit, and what it is about.

/// Characters of a name or a subject that are worth a line; more is cut.
const TEXT_MAX: usize = 120;

/// The author of a commit, and the first line of its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorship {
    pub author: String,
    pub subject: String,
}

/// Reads who wrote a commit; `None` for bytes that are no commit.
pub fn authorship(commit: &[u8]) -> Option<Authorship> {
    let text = String::from_utf8_lossy(commit);
    let (head, message) = text.split_once("\n\n")?;
    let line = head.lines().find_map(|line| line.strip_prefix("author "))?;
    // `Name <address> seconds zone`; the name may be empty.
    let (name, rest) = line.split_once('<')?;
    let author = match name.trim() {
        "" => rest.split('>').next().unwrap_or_default(),
        name => name,
    };
    let subject = message.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Some(Authorship { author: cut(author), subject: cut(subject) })
}

fn cut(text: &str) -> String {
    text.trim().chars().take(TEXT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(commit: &str) -> Option<(String, String)> {
        authorship(commit.as_bytes()).map(|by| (by.author, by.subject))
    }

    fn commit(author: &str, message: &str) -> String {
        format!(
            "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor {author} 1 +0000\n\
             committer C <c@example.com> 2 +0000\n\n{message}"
        )
    }

    #[test]
    fn author_and_subject_are_the_name_and_the_first_line() {
        let text = commit("Ada Lovelace <ada@example.com>", "Raise replicas\n\nBecause.\n");
        let both = ("Ada Lovelace".to_owned(), "Raise replicas".to_owned());
        assert_eq!(read(&text), Some(both));
    }

    #[test]
    fn without_a_name_the_address_stands_for_it_and_without_a_message_nothing() {
        let text = commit("<ada@example.com>", "");
        assert_eq!(read(&text), Some(("ada@example.com".to_owned(), String::new())));
    }

    #[test]
    fn what_is_no_commit_has_no_author() {
        assert_eq!(authorship(b"\xff\xfe"), None);
        assert_eq!(read("author A <a> 1 +0000"), None);
    }

    #[test]
    fn a_subject_without_end_is_cut() {
        let text = commit("A <a>", &"x".repeat(5000));
        assert_eq!(read(&text).unwrap().1.len(), TEXT_MAX);
    }
}
