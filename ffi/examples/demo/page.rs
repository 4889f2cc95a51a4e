//! The page: a browser makes calls of its own through a gateway in this process, and plays with the backends.

use crate::backend::{Backend, Kind, TRIO};
use crate::list::List;
use crate::proxy::{BindError, Gateway, Handle, Reply, Request};
use crate::story::Told;
use grpclb::{Channel, ChannelBuilder};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Where it is served unless `PORT` says otherwise.
pub(crate) const PORT: u16 = 8080;

/// What `make wasm` builds, below the folder that holds the programs' `release`.
const PACKAGE: &str = "wasm/pkg";

/// How often a browser is told who the backends are.
const TELL: Duration = Duration::from_millis(200);

/// How long a retired backend may take for the calls that it has.
const GRACE: Duration = Duration::from_secs(3);

/// As many as there are colours.
const MOST: usize = 8;

/// Those of the story, and what may be added.
fn kind(slot: usize) -> Kind {
    const NAMES: [&str; MOST - TRIO.len()] = ["fourth", "fifth", "sixth", "seventh", "eighth"];
    let added = |slot: usize| Kind { name: NAMES[(slot - TRIO.len()) % NAMES.len()], places: 2 };
    TRIO.get(slot).copied().unwrap_or_else(|| added(slot))
}

/// A page that is served until it is dropped.
#[derive(Debug)]
pub(crate) struct Page {
    /// For the user.
    pub(crate) url: String,
    gateway: Handle,
    watchers: Arc<AtomicUsize>,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum NoPage {
    /// The browser's package is not built.
    NotBuilt,
    /// In words.
    Failed(String),
}

impl Page {
    /// Starts its backends and serves it on a loopback port.
    pub(crate) fn serve(port: u16) -> Result<Page, NoPage> {
        let package = package().ok_or(NoPage::NotBuilt)?;
        let play = Play::start().map_err(NoPage::Failed)?;
        let backends = play.channel();
        let bound = Gateway::bind(&format!("127.0.0.1:{port}"), backends);
        let gateway = bound.map_err(|error| match error {
            BindError::Listen(error) => NoPage::Failed(format!("port {port}: {error}")),
            other => NoPage::Failed(other.to_string()),
        })?;
        let files = gateway.files(&package);
        let gateway = files.map_err(|error| NoPage::Failed(format!("{}: {error}", package.display())))?;
        let url = format!("http://{}/", gateway.local_addr());
        let (play, watchers) = (Arc::new(Mutex::new(play)), Arc::new(AtomicUsize::new(0)));
        let handle = gateway.handle();
        let routes = {
            let (watchers, handle) = (watchers.clone(), handle.clone());
            move |request: &Request<'_>| answer(&play, &watchers, &handle, request)
        };
        let spawned = gateway.routes(routes).spawn();
        spawned.map_err(|error| NoPage::Failed(error.to_string()))?;
        Ok(Page { url, gateway: handle, watchers })
    }

    /// Whether a browser has it open.
    pub(crate) fn is_watched(&self) -> bool {
        self.watchers.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.gateway.stop();
    }
}

/// The built package's folder, if it is built.
fn package() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?; // target/release/examples/demo
    let package = program.ancestors().nth(3)?.join(PACKAGE);
    package.join("index.js").is_file().then_some(package)
}

const FILES: [(&str, &str, &str); 5] = [
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/page.css", "text/css; charset=utf-8", include_str!("page/page.css")),
    ("/page.js", "text/javascript; charset=utf-8", include_str!("page/page.js")),
    ("/calls.js", "text/javascript; charset=utf-8", include_str!("page/calls.js")),
    ("/draw.js", "text/javascript; charset=utf-8", include_str!("page/draw.js")),
];

fn answer(
    play: &Arc<Mutex<Play>>,
    watchers: &Arc<AtomicUsize>,
    gateway: &Handle,
    request: &Request<'_>,
) -> Option<Reply> {
    if let Some((_, kind, text)) = FILES.iter().find(|(path, ..)| *path == request.path) {
        return (request.method == "GET").then(|| Reply::new(200, kind, *text));
    }
    let what = request.path.strip_prefix("/demo/")?;
    if !is_of_this_machine(request.headers.get("host").map_or(b"", |host| host.as_bytes())) {
        return Some(Reply::new(403, "text/plain; charset=utf-8", "ask for localhost or an address\n"));
    }
    match (request.method, what) {
        ("GET", "events") => {
            let (play, watcher) = (play.clone(), Watcher::new(watchers));
            Some(Reply::events(TELL, move || {
                let _counted = &watcher;
                Some(play.lock().unwrap_or_else(PoisonError::into_inner).tell())
            }))
        }
        ("POST", _) => {
            let mut play = play.lock().unwrap_or_else(PoisonError::into_inner);
            Some(match play.command(what, request.query, gateway) {
                Ok(()) => Reply::json(200, "{}"),
                Err(words) => Reply::new(409, "text/plain; charset=utf-8", words),
            })
        }
        _ => None,
    }
}

/// Whether Host is what a name server has no say in. A page whose own name it has turned to this machine would pass for
/// the demo's otherwise (DNS rebinding).
fn is_of_this_machine(host: &[u8]) -> bool {
    let host = str::from_utf8(host).unwrap_or("?").to_ascii_lowercase();
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|digit| digit.is_ascii_digit()));
    let name = name.map_or(host.as_str(), |(name, _)| name);
    let v6 = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    // None at all: no browser asks.
    matches!(name, "" | "localhost") || v6.unwrap_or(name).parse::<std::net::IpAddr>().is_ok()
}

/// Counts a browser while it listens.
struct Watcher(Arc<AtomicUsize>);

impl Watcher {
    fn new(count: &Arc<AtomicUsize>) -> Watcher {
        count.fetch_add(1, Ordering::Relaxed);
        Watcher(count.clone())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the page's buttons change.
#[derive(Debug)]
struct Play {
    players: Vec<Player>,
    policy: &'static str,
    list: List,
    next_id: u32,
}

/// One backend, which may be dead.
#[derive(Debug)]
struct Player {
    id: u32,
    slot: usize,
    address: String,
    weight: u32,
    backend: Option<Backend>,
}

const POLICIES: [&str; 3] = ["pick_first", "round_robin", "weighted_round_robin"];

impl Play {
    fn start() -> Told<Play> {
        let list = List::create("page", &[])?;
        let mut play = Play { players: Vec::new(), policy: "round_robin", list, next_id: 0 };
        for _ in TRIO {
            play.add()?;
        }
        Ok(play)
    }

    /// Weights, too, come from the list: changed there they change without a new channel.
    fn channel(&self) -> ChannelBuilder {
        let config = crate::story::policy(self.policy);
        let builder = Channel::builder(&self.list.target()).service_config(&config);
        // Shorter than gRPC's 1 s to 120 s, so that the return of a killed one can be watched.
        builder.backoff(Duration::from_millis(200), Duration::from_secs(1))
    }

    /// As the page reads it. Names and addresses need no escapes.
    fn tell(&self) -> String {
        let player = |player: &Player| {
            let kind = kind(player.slot);
            format!(
                r#"{{"id":{},"slot":{},"name":"{}","address":"{}","capacity":{},"weight":{},"state":"{}"}}"#,
                player.id,
                player.slot,
                kind.name,
                player.address,
                kind.capacity(),
                player.weight,
                if player.backend.is_some() { "serving" } else { "killed" }
            )
        };
        let players: Vec<String> = self.players.iter().map(player).collect();
        // Which run of the demo it is, so that an old page knows a new one.
        let demo = std::process::id();
        let (policy, players) = (self.policy, players.join(","));
        format!(r#"{{"demo":{demo},"policy":"{policy}","most":{MOST},"backends":[{players}]}}"#)
    }

    fn command(&mut self, what: &str, query: &str, gateway: &Handle) -> Told<()> {
        match what {
            "add" => self.add(),
            "retire" => self.retire(self.named(query)?),
            "kill" => {
                let at = self.named(query)?;
                self.players[at].backend = None;
                Ok(())
            }
            "start" => {
                let at = self.named(query)?;
                let player = &mut self.players[at];
                if player.backend.is_none() {
                    let again = crate::story::start_one(kind(player.slot), Some(&player.address), None)?;
                    player.backend = Some(again);
                }
                Ok(())
            }
            "weight" => {
                let at = self.named(query)?;
                let weight = parameter(query, "value").and_then(|value| value.parse().ok());
                let fits = weight.filter(|weight| (0..=100).contains(weight));
                self.players[at].weight = fits.ok_or("a weight is a whole number from 0 to 100")?;
                self.publish()
            }
            "policy" => {
                let name = parameter(query, "name").unwrap_or_default();
                let known = POLICIES.into_iter().find(|policy| *policy == name);
                self.policy = known.ok_or_else(|| format!("no policy {name:?}; there are {POLICIES:?}"))?;
                gateway.switch(self.channel()).map_err(|error| error.to_string())
            }
            _ => Err(format!("nothing is called {what:?}")),
        }
    }

    fn add(&mut self) -> Told<()> {
        let taken = |slot: &usize| self.players.iter().any(|player| player.slot == *slot);
        let slot = (0..MOST).find(|slot| !taken(slot)).ok_or("there are enough of them")?;
        let kind = kind(slot);
        let backend = crate::story::start_one(kind, None, None)?;
        let address = backend.address.clone();
        let weight = u32::try_from(kind.places).unwrap_or(1);
        let player = Player { id: self.next_id, slot, address, weight, backend: Some(backend) };
        self.next_id += 1;
        // In the order of their colours.
        let at = self.players.partition_point(|player| player.slot < slot);
        self.players.insert(at, player);
        self.publish()
    }

    /// Out of the list, and GOAWAY: the calls that it has end well.
    fn retire(&mut self, at: usize) -> Told<()> {
        if self.players.len() < 2 {
            return Err("the last one stays".into());
        }
        let player = self.players.remove(at);
        self.publish()?;
        if let Some(backend) = player.backend {
            backend.server.graceful_stop(GRACE);
            // Dropped at once it would be killed.
            std::thread::spawn(move || {
                std::thread::sleep(GRACE);
                drop(backend);
            });
        }
        Ok(())
    }

    fn named(&self, query: &str) -> Told<usize> {
        let id = parameter(query, "id").unwrap_or_default();
        let found = self.players.iter().position(|player| player.id.to_string() == id);
        found.ok_or_else(|| format!("no backend has the id {id:?}"))
    }

    fn publish(&self) -> Told<()> {
        let line = |player: &Player| format!("{} {}", player.address, player.weight);
        self.list.write(&self.players.iter().map(line).collect::<Vec<_>>())
    }
}

/// `value` of `name=value&...`; nothing that the page sends needs escapes.
fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_name_servers_have_no_say_in() {
        for good in ["", "127.0.0.1:8080", "127.0.0.1", "localhost:8080", "LOCALHOST", "[::1]:8080", "[::1]"]
        {
            assert!(is_of_this_machine(good.as_bytes()), "{good}");
        }
        let bad =
            ["evil.example:8080", "evil.example", "localhost.evil.example:8080", "127.0.0.1.evil.example"];
        for bad in bad.into_iter().chain(["localhost:x", "[::1", "127.0.0.1:8080.evil.example", "\u{e9}:1"]) {
            assert!(!is_of_this_machine(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn parameters_are_found_by_their_whole_name() {
        assert_eq!(parameter("id=1&value=4", "value"), Some("4"));
        assert_eq!(parameter("id=1&value=", "value"), Some(""));
        assert_eq!(parameter("xid=1", "id"), None);
        assert_eq!(parameter("", "id"), None);
    }

    #[test]
    fn names_are_unlike() {
        let mut names: Vec<&str> = (0..MOST).map(|slot| kind(slot).name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), MOST);
    }

    #[test]
    fn backends_come_and_go() {
        let mut play = Play::start().unwrap();
        let slots = |play: &Play| play.players.iter().map(|player| player.slot).collect::<Vec<_>>();
        assert_eq!(slots(&play), [0, 1, 2]);
        play.retire(1).unwrap();
        play.add().unwrap();
        assert_eq!((slots(&play), play.players[1].id), (vec![0, 1, 2], 3), "its place is taken, not its id");
        while play.players.len() < MOST {
            play.add().unwrap();
        }
        assert_eq!(play.add(), Err("there are enough of them".into()));
        for _ in 1..MOST {
            play.retire(0).unwrap();
        }
        assert_eq!(play.retire(0), Err("the last one stays".into()));
        assert!(play.tell().contains(r#""slot":7,"name":"eighth""#), "{}", play.tell());
    }
}
