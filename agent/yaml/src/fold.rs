//! Folded texts as upstream hands them on.
//!
//! Upstream writes every object as YAML and reads it again before it prints
//! it, folded texts (`>`) folded. Its emitter puts a line break too many before
//! lines that are indented further, and at the end of a text that keeps its
//! breaks, so that such a text does not come out as it went in.

/// Returns a folded text after it was written and read once.
pub(super) fn written_and_read(text: &str) -> String {
    if !fits_a_block(text) {
        return text.to_owned();
    }
    let (keeps_one, keeps_all) = match text.strip_suffix('\n') {
        None => (false, false),
        Some(rest) => (true, rest.is_empty() || rest.ends_with('\n')),
    };
    let mut read = String::with_capacity(text.len());
    let mut was_indented = false;
    let mut has_lines = false;
    let written = written(text);
    let mut lines = written.split('\n').peekable();
    let mut blank = 0;
    while let Some(line) = lines.next() {
        if line.is_empty() && lines.peek().is_some() {
            blank += 1;
            continue;
        }
        if line.is_empty() {
            break;
        }
        let is_indented = line.starts_with([' ', '\t']);
        if has_lines && (was_indented || is_indented) {
            read.push('\n');
        } else if has_lines && blank == 0 {
            read.push(' ');
        }
        read.extend(std::iter::repeat_n('\n', blank));
        blank = 0;
        read.push_str(line);
        was_indented = is_indented;
        has_lines = true;
    }
    if has_lines && keeps_one {
        read.push('\n');
    }
    if keeps_all {
        read.extend(std::iter::repeat_n('\n', blank));
    }
    read
}

/// The lines that upstream writes.
fn written(text: &str) -> String {
    // It looks at the beginning of the text where it means the next line.
    let begins_blank =
        text.trim_start_matches('\n').chars().next().is_none_or(|c| c == ' ' || c == '\t');
    let mut written = String::with_capacity(text.len() + 16);
    let mut at_line_start = true;
    let mut is_indented = true;
    for c in text.chars() {
        if c == '\n' {
            if !at_line_start && !is_indented && !begins_blank {
                written.push('\n');
            }
            written.push('\n');
            at_line_start = true;
        } else {
            if at_line_start {
                is_indented = c == ' ' || c == '\t';
            }
            written.push(c);
            at_line_start = false;
        }
    }
    written
}

/// Returns whether the emitter writes the text as a block. Else it writes quotes, which keep
/// everything.
fn fits_a_block(text: &str) -> bool {
    let is_kept = |c: char| {
        c == '\t' || (!c.is_control() || c == '\n') && u32::from(c) <= 0xffff && c != '\u{feff}'
    };
    !text.is_empty() && !text.ends_with(' ') && !text.contains(" \n") && text.chars().all(is_kept)
}

#[cfg(test)]
mod tests {
    use super::written_and_read;

    #[test]
    fn only_lines_that_are_indented_further_gain_a_break() {
        let texts = ["a b", "a\nb\n", "a\n\nb", "a\n  b\nc", "a\n  b\n  c\n", " a\nb\nc", "a\n\n"];
        let read = texts.map(|text| format!("{:?}", written_and_read(text)));
        insta::assert_snapshot!(read.join("\n"), @r#"
        "a b"
        "a\nb\n"
        "a\n\nb"
        "a\n\n  b\nc"
        "a\n\n  b\n  c\n"
        " a\nb c"
        "a\n\n\n"
        "#);
    }
}
