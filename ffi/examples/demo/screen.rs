//! The terminal: width, colours, and one frame that is drawn over again in place.

use crate::paint::{Line, Tone};
use std::io::{IsTerminal, Write};
use std::process::{Command, Stdio};

/// Where the story is told.
#[derive(Debug)]
pub(crate) struct Screen<W> {
    out: W,
    /// A terminal that may be coloured and moved about in.
    live: bool,
    /// Block characters, or ASCII.
    pub(crate) unicode: bool,
    /// Columns.
    pub(crate) width: usize,
    /// Lines of the frame that the next one replaces.
    drawn: usize,
}

impl Screen<std::io::Stdout> {
    /// Standard output, as its environment says.
    pub(crate) fn stdout() -> Screen<std::io::Stdout> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let out = std::io::stdout();
        // https://no-color.org: set and not empty. A dumb terminal has no cursor movement either.
        let live =
            out.is_terminal() && set("NO_COLOR").is_none() && set("TERM").is_some_and(|term| term != "dumb");
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
        let locale = locale.to_ascii_lowercase();
        let unicode = locale.contains("utf-8") || locale.contains("utf8") || cfg!(target_os = "macos");
        let columns = set("COLUMNS").and_then(|columns| columns.parse().ok());
        let columns = columns.or_else(|| if live { asked_of_stty() } else { None });
        Screen::new(out, live, unicode, columns.unwrap_or(80))
    }
}

/// A shell keeps COLUMNS to itself; `stty` on our own standard input knows (`rows columns`).
fn asked_of_stty() -> Option<usize> {
    let answer =
        Command::new("stty").arg("size").stdin(Stdio::inherit()).stderr(Stdio::null()).output().ok()?;
    let columns = std::str::from_utf8(&answer.stdout).ok()?.split_whitespace().nth(1)?.parse().ok()?;
    (columns > 0).then_some(columns)
}

impl<W: Write> Screen<W> {
    /// A screen over any writer; the width is kept between 40 and 120 columns.
    pub(crate) fn new(out: W, live: bool, unicode: bool, columns: usize) -> Screen<W> {
        Screen { out, live, unicode, width: columns.clamp(40, 120), drawn: 0 }
    }

    /// Whether frames are redrawn in place.
    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    /// Writes lines that stay.
    pub(crate) fn print(&mut self, lines: &[Line]) {
        let mut text = String::new();
        for line in lines {
            self.write_line(line, &mut text);
        }
        self.flush(&text);
    }

    /// Draws a frame over the one before; only on a live terminal.
    pub(crate) fn draw(&mut self, lines: &[Line]) {
        if !self.live {
            return;
        }
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A", self.drawn));
        }
        for line in lines {
            text.push('\r');
            self.write_line(line, &mut text);
        }
        text.push_str("\x1b[J"); // a longer frame before leaves nothing
        self.drawn = lines.len();
        self.flush(&text);
    }

    /// The last frame: it stays, on any kind of output.
    pub(crate) fn settle(&mut self, lines: &[Line]) {
        if self.live {
            self.draw(lines);
            self.drawn = 0;
        } else {
            self.print(lines);
        }
    }

    fn write_line(&self, line: &Line, text: &mut String) {
        // A live line never reaches the last column, where terminals differ in when they wrap.
        let line = if self.live { line.clone().fit(self.width - 1) } else { line.clone() };
        if !self.live {
            text.push_str(line.text().trim_end());
        } else {
            for (tone, piece) in &line.pieces {
                match sgr(*tone) {
                    Some(code) => text.push_str(&format!("\x1b[{code}m{piece}\x1b[0m")),
                    None => text.push_str(piece),
                }
            }
            text.push_str("\x1b[K");
        }
        text.push('\n');
    }

    /// A reader that went away (`make demo | head`) ends the program: nobody is left to tell.
    fn flush(&mut self, text: &str) {
        if self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).is_err() {
            std::process::exit(1);
        }
    }
}

/// Middle tones of the 256-colour palette: they read on dark and on light.
fn sgr(tone: Tone) -> Option<&'static str> {
    const BACKENDS: [&str; 5] = ["38;5;67", "38;5;72", "38;5;173", "38;5;133", "38;5;137"];
    match tone {
        Tone::Plain => None,
        Tone::Strong => Some("1"),
        Tone::Faint => Some("2"),
        Tone::Good => Some("38;5;71"),
        Tone::Bad => Some("1;38;5;167"),
        Tone::Backend(n) => Some(BACKENDS[n % BACKENDS.len()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paint::line;

    #[test]
    fn a_file_gets_neither_colours_nor_cursor_movement() {
        let mut out = Vec::new();
        let mut screen = Screen::new(&mut out, false, true, 80);
        screen.draw(&[line(Tone::Bad, "never seen")]);
        screen.print(&[line(Tone::Strong, "head  ")]);
        screen.settle(&[line(Tone::Backend(1), "█ end")]);
        assert_eq!(String::from_utf8(out).unwrap(), "head\n█ end\n");
    }

    #[test]
    fn a_terminal_gets_frames_in_place() {
        let mut out = Vec::new();
        let mut screen = Screen::new(&mut out, true, true, 80);
        screen.draw(&[line(Tone::Plain, "a"), line(Tone::Plain, "b")]);
        screen.settle(&[line(Tone::Plain, "c")]);
        screen.print(&[line(Tone::Strong, "d")]);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "\ra\x1b[K\n\rb\x1b[K\n\x1b[J\x1b[2A\rc\x1b[K\n\x1b[J\x1b[1md\x1b[0m\x1b[K\n");
    }

    #[test]
    fn a_terminal_line_never_wraps() {
        let mut out = Vec::new();
        Screen::new(&mut out, true, true, 40).print(&[line(Tone::Plain, "x".repeat(200))]);
        assert_eq!(String::from_utf8(out).unwrap().matches('x').count(), 39);
    }
}
