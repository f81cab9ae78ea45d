//! An error and its causes, as one line.

use std::error::Error;

/// Returns the error and its causes, parted by `: `. A cause that the line has
/// already is left out, since libraries often repeat them.
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        next = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Said {
        text: &'static str,
        source: Option<Box<Said>>,
    }

    fn said(texts: &[&'static str]) -> Said {
        let (text, causes) = texts.split_first().unwrap();
        let source = (!causes.is_empty()).then(|| Box::new(said(causes)));
        Said { text, source }
    }

    #[test]
    fn every_cause_is_in_the_line_once() {
        let lines = [
            &["cannot connect", "dns error", "no such host"][..],
            &["cannot connect: no such host", "dns error", "no such host"],
            &["connection refused (os error 111)", "connection refused", ""],
        ]
        .map(|texts| chain(&said(texts)));
        assert_eq!(
            lines,
            [
                "cannot connect: dns error: no such host",
                "cannot connect: no such host: dns error",
                "connection refused (os error 111)"
            ]
        );
    }
}
