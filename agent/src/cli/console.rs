//! stdout is data, stderr is talk. Everything that is printed passes here.

use std::io::{self, Write};

use serde::Serialize;

use super::{
    arguments::{Common, Format},
    exit::{Exit, Failure},
    human,
    surroundings::Surroundings,
};

/// A colour that stresses what the words say anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tint {
    Plain,
    Bold,
    Good,
    Warning,
    Bad,
    Faint,
}

/// Whether text carries colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Palette {
    pub(super) colour: bool,
}

impl Palette {
    pub(super) fn paint(self, tint: Tint, text: &str) -> String {
        let code = match tint {
            Tint::Plain => return text.to_owned(),
            Tint::Bold => "1",
            Tint::Good => "32",
            Tint::Warning => "33",
            Tint::Bad => "31",
            Tint::Faint => "2",
        };
        if self.colour && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

pub(super) struct Console<'a> {
    stdout: &'a mut dyn Write,
    stderr: &'a mut dyn Write,
    pub(super) format: Format,
    pub(super) palette: Palette,
    error_palette: Palette,
    pub(super) stdout_is_terminal: bool,
    pub(super) stderr_is_terminal: bool,
}

impl<'a> Console<'a> {
    #[expect(clippy::needless_pass_by_value, reason = "the writers are taken over")]
    pub(super) fn new(surroundings: Surroundings<'a>, common: &Common) -> Self {
        let says = |name: &str| surroundings.environment.get(name).map(String::as_str);
        let colour = !common.no_color
            && says("NO_COLOR").is_none_or(str::is_empty)
            && says("TERM") != Some("dumb");
        Self {
            palette: Palette { colour: colour && surroundings.stdout_is_terminal },
            error_palette: Palette { colour: colour && surroundings.stderr_is_terminal },
            stdout_is_terminal: surroundings.stdout_is_terminal,
            stderr_is_terminal: surroundings.stderr_is_terminal,
            stdout: surroundings.stdout,
            stderr: surroundings.stderr,
            format: common.output,
        }
    }

    /// Answers with a document: as JSON, or as the text that `text` makes of it.
    pub(super) fn answer<T: Serialize>(
        &mut self,
        document: &T,
        text: impl FnOnce(Palette) -> String,
    ) -> Result<(), Failure> {
        self.answer_or_fail(document, |palette| Ok(text(palette)))
    }

    /// The same, of a text that may be too large.
    pub(super) fn answer_or_fail<T: Serialize>(
        &mut self,
        document: &T,
        text: impl FnOnce(Palette) -> Result<String, Failure>,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Json => {
                let mut json = serde_json::to_string_pretty(document).map_err(io::Error::from)?;
                json.push('\n');
                self.text(&json)
            }
            Format::Text => self.text(&text(self.palette)?),
        }
    }

    /// Writes to stdout as it is.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.stdout.write_all(text.as_bytes())?;
        self.stdout.flush()?;
        Ok(())
    }

    /// Says something on stderr that is not an error. Nobody depends on it, so
    /// nothing happens when it cannot be written.
    pub(super) fn note(&mut self, text: &str) {
        let note = self.error_palette.paint(Tint::Warning, "note:");
        let _ignored = writeln!(self.stderr, "{note} {}", human::one_line(text));
    }

    /// Says why a verb failed, and returns the exit code for it.
    pub(super) fn failure(&mut self, failure: &Failure) -> Exit {
        let error = self.error_palette.paint(Tint::Bad, "error:");
        let hint = self.error_palette.paint(Tint::Bold, "hint:");
        for message in &failure.messages {
            let _ignored = writeln!(self.stderr, "{error} {}", human::one_line(message));
        }
        if let Some(text) = &failure.hint {
            let _ignored = writeln!(self.stderr, "{hint} {}", human::one_line(text));
        }
        failure.exit
    }
}

/// Help and version go to stdout, wrong usage to stderr in our own words.
pub(super) fn usage(error: &clap::Error, surroundings: &mut Surroundings<'_>) -> Exit {
    let text = error.render().to_string();
    if error.use_stderr() {
        let text = text.replace("\n  tip: ", "\nhint: ");
        let _ignored = surroundings.stderr.write_all(text.as_bytes());
        return Exit::Usage;
    }
    match surroundings.stdout.write_all(text.as_bytes()).and_then(|()| surroundings.stdout.flush())
    {
        Ok(()) => Exit::Done,
        Err(error) => Failure::from(error).exit,
    }
}
