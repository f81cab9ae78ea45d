//! Points in time as go-yaml reads them: `2001-12-14` without quotes is one.

/// Returns whether a plain scalar is a point in time.
pub(super) fn is_timestamp(text: &str) -> bool {
    in_json(text).is_some()
}

/// How JSON shows a point in time: RFC 3339, without trailing zeros of the fraction.
pub(super) fn in_json(text: &str) -> Option<String> {
    let mut rest = Cursor(text);
    let year = rest.digits(4, 4)?;
    rest.take('-')?;
    let month = rest.digits(1, 2)?;
    rest.take('-')?;
    let day = rest.digits(1, 2)?;
    let in_range = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
    if !in_range {
        return None;
    }
    let date = format!("{year:04}-{month:02}-{day:02}");
    if rest.0.is_empty() {
        return Some(format!("{date}T00:00:00Z"));
    }
    let has_zone = match rest.0.as_bytes()[0] {
        b'T' | b't' => true,
        b' ' => false,
        _ => return None,
    };
    rest.0 = &rest.0[1..];
    let time = rest.time()?;
    let zone = if has_zone { rest.zone()? } else { "Z".to_owned() };
    rest.0.is_empty().then(|| format!("{date}T{time}{zone}"))
}

struct Cursor<'t>(&'t str);

impl Cursor<'_> {
    fn take(&mut self, expected: char) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    fn digits(&mut self, least: usize, most: usize) -> Option<u32> {
        let count = self.0.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if count < least {
            return None;
        }
        let number = self.0[..count].parse().ok()?;
        self.0 = &self.0[count..];
        Some(number)
    }

    fn time(&mut self) -> Option<String> {
        let hour = self.digits(1, 2).filter(|hour| *hour < 24)?;
        self.take(':')?;
        let minute = self.digits(1, 2).filter(|minute| *minute < 60)?;
        self.take(':')?;
        let second = self.digits(1, 2).filter(|second| *second < 60)?;
        let mut time = format!("{hour:02}:{minute:02}:{second:02}");
        if let Some(rest) = self.0.strip_prefix('.') {
            let count = rest.bytes().take_while(u8::is_ascii_digit).count();
            if count == 0 {
                return None;
            }
            let fraction = rest[..count.min(9)].trim_end_matches('0');
            if !fraction.is_empty() {
                time.push('.');
                time.push_str(fraction);
            }
            self.0 = &rest[count..];
        }
        Some(time)
    }

    fn zone(&mut self) -> Option<String> {
        if self.take('Z').is_some() {
            return Some("Z".to_owned());
        }
        let sign = self.0.chars().next().filter(|sign| matches!(sign, '+' | '-'))?;
        self.0 = &self.0[1..];
        let hours = self.digits(2, 2)?;
        self.take(':')?;
        let minutes = self.digits(2, 2)?;
        let is_utc = hours == 0 && minutes == 0;
        Some(if is_utc { "Z".to_owned() } else { format!("{sign}{hours:02}:{minutes:02}") })
    }
}

fn days_of(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_read_as_in_go() {
        let texts = [
            "2001-12-14",
            "2001-2-3",
            "2001-12-14t21:59:43.10-05:00",
            "2001-12-14 21:59:43.10",
            "2001-12-14T21:59:43Z",
            "2001-02-29",
            "2001-12-14T21:59:43",
            "20011-1-1",
        ];
        let shown = texts.map(|text| in_json(text).unwrap_or_else(|| "-".to_owned()));
        insta::assert_snapshot!(shown.join("\n"), @r"
        2001-12-14T00:00:00Z
        2001-02-03T00:00:00Z
        2001-12-14T21:59:43.1-05:00
        2001-12-14T21:59:43.1Z
        2001-12-14T21:59:43Z
        -
        -
        -
        ");
    }
}
