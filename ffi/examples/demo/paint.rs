//! Lines, bars and tables as values: what is drawn, without a terminal, so that tests can read it.

use std::time::Duration;

/// What a piece of text is for; the screen decides which colour that means, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As the terminal writes.
    Plain,
    /// A heading.
    Strong,
    /// Beside the point: units, explanations.
    Faint,
    /// As it should be.
    Good,
    /// Calls lost, checks failed.
    Bad,
    /// The colour of backend number n.
    Backend(usize),
}

/// One line: pieces of text and their tones. Never holds a line break or an escape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    /// From left to right.
    pub(crate) pieces: Vec<(Tone, String)>,
}

impl Line {
    /// An empty line.
    pub(crate) fn new() -> Line {
        Line::default()
    }
    /// Adds a piece. What a peer sent may be in it, so control characters are replaced.
    #[must_use]
    pub(crate) fn add(mut self, tone: Tone, text: impl Into<String>) -> Line {
        let mut text: String = text.into();
        if text.contains(char::is_control) {
            text = text.replace(char::is_control, " ");
        }
        self.pieces.push((tone, text));
        self
    }
    /// Characters, which are columns: all that the demo writes itself is one column wide.
    pub(crate) fn width(&self) -> usize {
        self.pieces.iter().map(|(_, text)| text.chars().count()).sum()
    }
    /// Blanks up to `column`.
    #[must_use]
    pub(crate) fn pad_to(self, column: usize) -> Line {
        let missing = column.saturating_sub(self.width());
        if missing == 0 { self } else { self.add(Tone::Plain, " ".repeat(missing)) }
    }
    /// Cut at `width`: a line that wraps would spoil the next redraw.
    #[must_use]
    pub(crate) fn fit(self, width: usize) -> Line {
        let mut left = width;
        let mut pieces = Vec::with_capacity(self.pieces.len());
        for (tone, text) in self.pieces {
            let cut: String = text.chars().take(left).collect();
            left -= cut.chars().count();
            pieces.push((tone, cut));
        }
        Line { pieces }
    }
    /// The words alone.
    pub(crate) fn text(&self) -> String {
        self.pieces.iter().map(|(_, text)| text.as_str()).collect::<String>()
    }
}

/// A line of one piece.
pub(crate) fn line(tone: Tone, text: impl Into<String>) -> Line {
    Line::new().add(tone, text)
}

/// A bar for `share` (0 to 1) of `width` columns: its filled part, and the blank rest.
pub(crate) fn bar(share: f64, width: usize, unicode: bool) -> (String, String) {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let (full, part) = if unicode {
        let eighths = (share * width as f64 * 8.0).round() as usize;
        (eighths / 8, EIGHTHS[eighths % 8])
    } else {
        ((share * width as f64).round() as usize, "")
    };
    let used = full + part.chars().count();
    let filled = (if unicode { "█" } else { "#" }).repeat(full) + part;
    (filled, (if unicode { " " } else { "." }).repeat(width - used))
}

/// `1 234 567`.
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// `33.3 %`.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// `0.4 ms`, `7.9 ms`, `48 ms`, `1.2 s`, `30 s`.
pub(crate) fn span(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    match ms {
        _ if ms < 9.95 => format!("{ms:.1} ms"),
        _ if ms < 999.5 => format!("{ms:.0} ms"),
        _ if ms < 9_950.0 => format!("{:.1} s", ms / 1e3),
        _ => format!("{:.0} s", ms / 1e3),
    }
}

/// Words in lines of at most `width` columns.
pub(crate) fn wrap(words: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words.split_whitespace() {
        match lines.last_mut() {
            Some(last) if last.chars().count() + 1 + word.chars().count() <= width => {
                last.push(' ');
                last.push_str(word);
            }
            _ => lines.push(word.into()),
        }
    }
    lines
}

/// A table: the first column is flush left, the others flush right.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<(Tone, String)>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new(head: &[&str]) -> Table {
        Table { head: head.iter().map(ToString::to_string).collect(), rows: Vec::new() }
    }
    /// Adds a row; missing cells are empty.
    pub(crate) fn row(&mut self, mut cells: Vec<(Tone, String)>) {
        cells.resize(self.head.len(), (Tone::Plain, String::new()));
        self.rows.push(cells);
    }
    /// The lines, with a rule (`─` or `-`) under the head.
    pub(crate) fn lines(&self, unicode: bool) -> Vec<Line> {
        let columns = self.head.len();
        let widths: Vec<usize> = (0..columns)
            .map(|c| {
                let cells = self.rows.iter().map(|row| row[c].1.chars().count());
                cells.chain([self.head[c].chars().count()]).max().unwrap_or(0)
            })
            .collect();
        let write = |cells: &mut dyn Iterator<Item = (Tone, &str)>| {
            let mut out = Line::new();
            for (c, (tone, cell)) in cells.enumerate() {
                let blank = " ".repeat(widths[c] - cell.chars().count());
                out = if c == 0 {
                    out.add(tone, cell).add(Tone::Plain, blank)
                } else {
                    out.add(Tone::Plain, "  ").add(Tone::Plain, blank).add(tone, cell)
                };
            }
            out
        };
        let mut lines = vec![write(&mut self.head.iter().map(|cell| (Tone::Faint, cell.as_str())))];
        let whole = widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1);
        lines.push(line(Tone::Faint, (if unicode { "─" } else { "-" }).repeat(whole)));
        lines.extend(
            self.rows.iter().map(|row| write(&mut row.iter().map(|(tone, cell)| (*tone, cell.as_str())))),
        );
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_always_as_wide_as_asked() {
        for unicode in [true, false] {
            for width in [0, 1, 7, 40] {
                for share in [0.0, 0.001, 0.1428, 0.5, 0.9999, 1.0, 1.7, -1.0, f64::NAN] {
                    let (filled, rest) = bar(share, width, unicode);
                    assert_eq!(filled.chars().count() + rest.chars().count(), width, "{share} of {width}");
                }
            }
        }
    }

    #[test]
    fn a_bar_shows_eighths_and_ascii_rounds() {
        assert_eq!(bar(0.5, 4, true), ("██".into(), "  ".into()));
        assert_eq!(bar(0.28125, 4, true), ("█▏".into(), "  ".into()));
        assert_eq!(bar(1.0, 3, true), ("███".into(), String::new()));
        assert_eq!(bar(0.6, 5, false), ("###".into(), "..".into()));
    }

    #[test]
    fn numbers_read_easily() {
        assert_eq!([0, 12, 999, 1_000, 1_234_567].map(thousands), ["0", "12", "999", "1 000", "1 234 567"]);
        let spans = [0, 420, 7_940, 9_960, 48_400, 999_600, 12_340_000].map(Duration::from_micros).map(span);
        assert_eq!(spans, ["0.0 ms", "0.4 ms", "7.9 ms", "10 ms", "48 ms", "1.0 s", "12 s"]);
        assert_eq!(percent(1.0 / 7.0), "14.3 %");
    }

    #[test]
    fn lines_are_cut_and_cleaned() {
        let it = line(Tone::Strong, "abc").add(Tone::Plain, "def\x1b[2J\n");
        assert_eq!(it.width(), 11);
        assert_eq!(it.clone().fit(4).text(), "abcd");
        assert!(!it.text().contains(char::is_control));
        assert_eq!(line(Tone::Plain, "ab").pad_to(5).text(), "ab   ");
        assert_eq!(line(Tone::Plain, "abcdef").pad_to(5).text(), "abcdef");
    }

    #[test]
    fn words_wrap_at_blanks() {
        assert_eq!(wrap("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrap("extraordinarily", 7), ["extraordinarily"]);
        assert!(wrap("", 7).is_empty());
    }

    #[test]
    fn a_table_aligns_its_columns() {
        let mut table = Table::new(&["policy", "calls", "what"]);
        table.row(vec![
            (Tone::Plain, "pick_first".into()),
            (Tone::Plain, "7".into()),
            (Tone::Good, "all".into()),
        ]);
        table.row(vec![(Tone::Plain, "rr".into()), (Tone::Bad, "1 000".into())]);
        let lines: Vec<String> = table.lines(false).iter().map(Line::text).collect();
        assert_eq!(
            lines,
            [
                "policy      calls  what",
                "-----------------------",
                "pick_first      7   all",
                "rr          1 000      "
            ]
        );
    }
}
