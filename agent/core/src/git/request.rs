//! Requests of protocol v2, as short as servers accept them.

use super::pktline::encode_line;
use crate::model::GitId;

const FLUSH: &[u8] = b"0000";
const DELIMITER: &[u8] = b"0001";

/// Objects that the server is asked to exclude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Every blob, and every tree at this depth or deeper (the root tree is at depth 0).
    PathTrees {
        depth: usize,
    },
    /// Everything but commits and what is asked for by id.
    TreeZero,
    BlobNone,
}

/// The arguments of one `fetch`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchRequest {
    pub wants: Vec<GitId>,
    pub haves: Vec<GitId>,
    /// How many commits of history to send.
    pub deepen: Option<u32>,
    /// Deltas may be built upon what we have. Then none is upon an object of
    /// the same pack, as a rule, and a shorter name for such a base saves nothing.
    pub thin: bool,
    pub filter: Option<Filter>,
}

impl FetchRequest {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256 + 50 * (self.wants.len() + self.haves.len()));
        encode_line(&mut out, "command=fetch");
        out.extend_from_slice(DELIMITER);
        encode_line(&mut out, if self.thin { "thin-pack" } else { "ofs-delta" });
        encode_line(&mut out, "no-progress");
        for id in &self.wants {
            encode_line(&mut out, &format!("want {id}"));
        }
        for id in &self.haves {
            encode_line(&mut out, &format!("have {id}"));
        }
        if let Some(depth) = self.deepen {
            encode_line(&mut out, &format!("deepen {depth}"));
        }
        match self.filter {
            None => {}
            Some(Filter::PathTrees { depth }) => {
                encode_line(&mut out, &format!("filter combine:blob:none+tree:{depth}"));
            }
            Some(Filter::TreeZero) => encode_line(&mut out, "filter tree:0"),
            Some(Filter::BlobNone) => encode_line(&mut out, "filter blob:none"),
        }
        encode_line(&mut out, "done");
        out.extend_from_slice(FLUSH);
        out
    }
}

/// Asks for the refs whose full name starts with `prefix`; `peel` also for what annotated tags point at.
pub fn ls_refs_request(prefix: &str, peel: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(80);
    encode_line(&mut out, "command=ls-refs");
    out.extend_from_slice(DELIMITER);
    if peel {
        encode_line(&mut out, "peel");
    }
    encode_line(&mut out, &format!("ref-prefix {prefix}"));
    out.extend_from_slice(FLUSH);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_is_one_line_and_a_ref() {
        let request = ls_refs_request("refs/heads/main", false);
        assert_eq!(
            String::from_utf8(request).unwrap(),
            "0013command=ls-refs0001001eref-prefix refs/heads/main0000"
        );
    }

    #[test]
    fn an_incremental_fetch_asks_for_thin_deltas_of_the_path_trees() {
        let (new, old) =
            (GitId::from_bytes(&[1; 20]).unwrap(), GitId::from_bytes(&[2; 20]).unwrap());
        let request = FetchRequest {
            wants: vec![new],
            haves: vec![old],
            deepen: Some(1),
            thin: true,
            filter: Some(Filter::PathTrees { depth: 2 }),
        };
        let text = String::from_utf8(request.encode()).unwrap();
        let readable = text.replace(&"01".repeat(20), "NEW").replace(&"02".repeat(20), "OLD");
        assert_eq!(
            readable,
            "0011command=fetch0001000dthin-pack000fno-progress0031want NEW\
             0031have OLD000cdeepen 10023filter combine:blob:none+tree:2\
             0008done0000"
        );
    }
}
