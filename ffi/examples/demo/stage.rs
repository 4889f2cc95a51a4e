//! The live part of an act: a frame of bars, redrawn ten times a second until the act goes on.

use crate::backend::Backend;
use crate::load::Load;
use crate::paint::{Line, Tone, bar, line, percent, span, thousands, wrap};
use crate::screen::Screen;
use crate::tally::Tally;
use std::collections::VecDeque;
use std::io::Write;
use std::time::{Duration, Instant};

/// How often the story looks at the tallies, and how often it draws.
const LOOK: Duration = Duration::from_millis(25);
const DRAW: Duration = Duration::from_millis(100);

/// The bars show the shares of this much of the past.
const WINDOW: Duration = Duration::from_secs(1);

/// More backends than this are summed up in one line.
const MOST_ROWS: usize = 16;

/// Somebody on the stage.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    /// As it is called.
    pub(crate) name: String,
    /// Beside the name.
    pub(crate) detail: String,
    /// As `Reply::peer` has it.
    pub(crate) address: String,
}

impl From<&Backend> for Who {
    fn from(backend: &Backend) -> Who {
        let detail = format!("{}/s", backend.kind.capacity());
        Who { name: backend.kind.name.into(), detail, address: backend.address.clone() }
    }
}

/// What one client has done: in the window, and how long that is.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// Above its bars, when there is more than one client.
    pub(crate) heading: String,
    /// What the bars show.
    pub(crate) tally: Tally,
    /// The time in which that was counted.
    pub(crate) time: Duration,
    /// Failed calls of the whole act.
    pub(crate) failed: u64,
}

/// The lines of one client.
pub(crate) fn bars(who: &[Who], view: &View, width: usize, unicode: bool) -> Vec<Line> {
    let mut lines = Vec::new();
    if !view.heading.is_empty() {
        lines.push(Line::new().add(Tone::Plain, "  ").add(Tone::Strong, view.heading.as_str()));
    }
    let longest = |text: fn(&Who) -> &str| who.iter().map(|who| text(who).chars().count()).max().unwrap_or(0);
    let name_end = 2 + longest(|who| &who.name);
    let detail_end = name_end + 2 + longest(|who| &who.detail);
    // Right of the bar: two blanks, "100.0 %", two blanks, the number of calls.
    let bar_width = (width - 1).saturating_sub(detail_end + 2 + 2 + 7 + 9).clamp(8, 60);
    for (n, who) in who.iter().take(MOST_ROWS).enumerate() {
        let share = view.tally.share(&who.address);
        let (filled, rest) = bar(share, bar_width, unicode);
        let start =
            Line::new().add(Tone::Plain, "  ").add(Tone::Backend(n), who.name.as_str()).pad_to(name_end + 2);
        let start = start.add(Tone::Faint, who.detail.as_str()).pad_to(detail_end + 2);
        let calls = thousands(view.tally.of(&who.address));
        lines.push(
            start
                .add(Tone::Backend(n), filled)
                .add(Tone::Faint, rest)
                .add(Tone::Plain, format!("  {:>7}", percent(share)))
                .add(Tone::Faint, format!("  {calls:>7}")),
        );
    }
    if let Some(more) = who.get(MOST_ROWS..).filter(|more| !more.is_empty()) {
        let share: f64 = more.iter().map(|who| view.tally.share(&who.address)).sum();
        lines.push(line(Tone::Faint, format!("  and {} more: {}", more.len(), percent(share))));
    }
    lines.push(figures(view));
    lines
}

/// `1 392 calls/s   p50 7.9 ms   p99 11 ms   0 failed`.
fn figures(view: &View) -> Line {
    let rate = if view.time.is_zero() { 0.0 } else { view.tally.calls as f64 / view.time.as_secs_f64() };
    let time = |q| view.tally.times.quantile(q).map_or_else(|| "-".into(), span);
    let tone = if view.failed == 0 { Tone::Good } else { Tone::Bad };
    line(Tone::Plain, format!("  {} calls/s", thousands(rate.round() as u64)))
        .add(Tone::Faint, "   half within ")
        .add(Tone::Plain, time(0.5))
        .add(Tone::Faint, ", 99 % within ")
        .add(Tone::Plain, time(0.99))
        .add(Tone::Plain, "   ")
        .add(tone, format!("{} failed", thousands(view.failed)))
}

/// One client on the stage and its recent past.
#[derive(Debug)]
struct Seat<'l> {
    heading: &'l str,
    load: &'l Load,
    past: VecDeque<(Instant, Tally)>,
}

impl Seat<'_> {
    fn view(&mut self, now: Instant) -> View {
        let tally = self.load.tally();
        while self.past.len() > 1 && self.past.front().is_some_and(|(at, _)| now - *at > WINDOW) {
            self.past.pop_front();
        }
        self.past.push_back((now, tally.clone()));
        let (since, earlier) = match self.past.front() {
            Some((at, earlier)) if now > *at => (*at, earlier.clone()),
            _ => (now - self.load.elapsed().min(WINDOW), Tally::default()),
        };
        let heading = self.heading.to_owned();
        View { heading, tally: tally.since(&earlier), time: now - since, failed: tally.failed }
    }
}

/// Draws the clients of an act while it lasts.
#[derive(Debug)]
pub(crate) struct Stage<'s, W> {
    screen: &'s mut Screen<W>,
    /// Those whose bars are shown.
    pub(crate) who: Vec<Who>,
    /// Below the bars: what happened when.
    pub(crate) notes: Vec<Line>,
}

impl<'s, W: Write> Stage<'s, W> {
    /// A stage on `screen`.
    pub(crate) fn new(screen: &'s mut Screen<W>, who: Vec<Who>) -> Stage<'s, W> {
        Stage { screen, who, notes: Vec::new() }
    }

    /// Says what happened; it stays under the bars. Where nothing is redrawn it is written at once.
    pub(crate) fn note(&mut self, tone: Tone, text: impl Into<String>) {
        let lines = wrap(&text.into(), self.screen.width - 4);
        let lines: Vec<Line> =
            lines.into_iter().map(|words| line(Tone::Plain, "  ").add(tone, words)).collect();
        if !self.screen.is_live() {
            self.screen.print(&lines);
        }
        self.notes.extend(lines);
    }

    /// Plays until `done`, or for `limit`; whether it was done.
    pub(crate) fn play(
        &mut self,
        clients: &[(&str, &Load)],
        limit: Duration,
        mut done: impl FnMut() -> bool,
    ) -> bool {
        let seat = |&(heading, load)| Seat { heading, load, past: VecDeque::new() };
        let mut seats: Vec<Seat<'_>> = clients.iter().map(seat).collect();
        let start = Instant::now();
        let mut drawn = None;
        loop {
            let now = Instant::now();
            if drawn.is_none_or(|drawn| now - drawn >= DRAW) {
                drawn = Some(now);
                let views: Vec<View> = seats.iter_mut().map(|seat| seat.view(now)).collect();
                self.draw(&views, false);
            }
            if done() {
                return true;
            }
            let left = limit.saturating_sub(start.elapsed());
            if left.is_zero() {
                return false;
            }
            std::thread::sleep(LOOK.min(left));
        }
    }

    /// The last frame, which stays: what the act counted in all.
    pub(crate) fn settle(&mut self, views: &[View]) {
        self.draw(views, true);
    }

    fn draw(&mut self, views: &[View], last: bool) {
        let (width, unicode) = (self.screen.width, self.screen.unicode);
        let mut lines = vec![Line::new()];
        for view in views {
            lines.extend(bars(&self.who, view, width, unicode));
        }
        if self.screen.is_live() {
            lines.extend(self.notes.iter().cloned());
        }
        if last { self.screen.settle(&lines) } else { self.screen.draw(&lines) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded() -> (Vec<Who>, View) {
        let mut tally = Tally::default();
        let now = Instant::now();
        for n in 0..700 {
            let peer = if n % 7 == 0 { "a:1" } else { "b:2" };
            tally.count(now, Duration::from_millis(5), Some(peer), None);
        }
        tally.count(now, Duration::ZERO, None, Some("UNAVAILABLE: x".into()));
        let who = |name: &str, address: &str| Who {
            name: name.into(),
            detail: "200/s".into(),
            address: address.into(),
        };
        let view = View { heading: String::new(), tally, time: Duration::from_secs(1), failed: 1 };
        (vec![who("small", "a:1"), who("large", "b:2")], view)
    }

    #[test]
    fn bars_tell_shares_and_times() {
        let (who, view) = recorded();
        let lines: Vec<String> = bars(&who, &view, 60, false).iter().map(Line::text).collect();
        assert_eq!(
            lines,
            [
                "  small  200/s  ####.....................   14.3 %      100",
                "  large  200/s  #####################....   85.7 %      600",
                "  701 calls/s   half within 5.1 ms, 99 % within 5.1 ms   1 failed",
            ]
        );
    }

    #[test]
    fn bars_fit_every_width() {
        let (who, view) = recorded();
        for width in [60, 80, 100, 120] {
            for line in bars(&who, &view, width, true).iter().take(2) {
                assert!(line.width() < width, "{width}: {:?}", line.text());
            }
        }
    }

    #[test]
    fn many_backends_are_summed_up() {
        let (mut who, view) = recorded();
        let (small, large) = (who[0].clone(), who[1].clone());
        who = vec![small; 1];
        who.extend(vec![Who { address: "c:3".into(), ..large.clone() }; 40]);
        who.push(large);
        let lines = bars(&who, &view, 80, true);
        assert_eq!(lines.len(), MOST_ROWS + 2);
        assert_eq!(lines[MOST_ROWS].text(), "  and 26 more: 85.7 %");
    }
}
