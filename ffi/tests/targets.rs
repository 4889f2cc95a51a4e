//! Targets: where endpoints come from, and what happens when they change.

mod common;

use common::Watchdog;
use grpclb::core::balancer::Connectivity;
use grpclb::core::grpc::Code;
use grpclb::{Call, Channel, Server, ServerHandle};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const WHO: &str = "/test.Service/Who";
const ROUND_ROBIN: &str = r#"{"loadBalancingPolicy":"round_robin"}"#;
const WEIGHTED: &str = r#"{"loadBalancingConfig":[{"weighted_round_robin":{}}]}"#;

fn backend(address: &str) -> ServerHandle {
    let name = address.to_owned();
    Server::builder()
        .unary(WHO, move |_, response| {
            response.message.extend_from_slice(name.as_bytes());
            Ok(())
        })
        .bind(address)
        .expect("a server")
        .spawn()
}

fn address(server: &ServerHandle) -> String {
    server.local_addr().expect("an address").to_string()
}

/// Which peers serve `n` calls.
fn shares(channel: &Channel, n: usize) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    let mut response = Vec::new();
    for _ in 0..n {
        let call = Call::new(WHO).timeout(Duration::from_secs(10));
        let reply = channel.unary(&call, b"", &mut response).expect("an answer");
        *shares.entry(reply.peer().to_owned()).or_default() += 1;
    }
    shares
}

/// A folder of this test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("grpclb-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }
    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Written beside it and renamed over it.
fn replace(path: &Path, text: &str) {
    let other = path.with_extension("new");
    std::fs::write(&other, text).expect("written");
    std::fs::rename(other, path).expect("renamed");
}

#[test]
fn literal_addresses() {
    let _watchdog = Watchdog::new(30);
    let servers = [backend("127.0.0.1:0"), backend("127.0.0.1:0")];
    let [a, b] = [&servers[0], &servers[1]].map(address);
    let channel = Channel::builder(&format!("ipv4:{a},{b}")).service_config(ROUND_ROBIN).build().unwrap();
    assert!(channel.wait_for_ready_endpoints(2, Duration::from_secs(5)));
    assert_eq!(shares(&channel, 100), BTreeMap::from([(a.clone(), 50), (b.clone(), 50)]));
    assert_eq!(channel.endpoints(), [(a, Connectivity::Ready), (b, Connectivity::Ready)]);
    assert_eq!(channel.state(false), Connectivity::Ready);
}

#[cfg(unix)]
#[test]
fn unix_sockets() {
    let _watchdog = Watchdog::new(30);
    let folder = Folder::new("unix");
    let socket = folder.file("a socket");
    let _server = backend(&format!("unix:{}", socket.display()));
    // `%20` in a URI.
    let target = format!("unix://{}", socket.display().to_string().replace(' ', "%20"));
    let channel = Channel::builder(&target).build().unwrap();
    let peer = format!("unix:{}", socket.display());
    assert_eq!(shares(&channel, 10), BTreeMap::from([(peer, 10)]));
}

#[cfg(target_os = "linux")]
#[test]
fn abstract_unix_sockets() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    let _watchdog = Watchdog::new(30);
    let name = format!("grpclb-{}", std::process::id());
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let accepted = thread::spawn(move || listener.accept().map(drop));
    let channel = Channel::builder(&format!("unix-abstract:{name}")).build().unwrap();
    let call = Call::new(WHO).timeout(Duration::from_secs(10));
    let status = channel.unary(&call, b"", &mut Vec::new()).expect_err("closed at once");
    assert_eq!(status.code, Code::UNAVAILABLE, "{status}");
    assert!(status.message.contains(&format!("unix-abstract:{name}: ")), "{status}");
    accepted.join().unwrap().expect("it was the one");
}

#[test]
fn a_name() {
    let _watchdog = Watchdog::new(30);
    let server = backend("127.0.0.1:0");
    let port = server.local_addr().expect("an address").port();
    let channel = Channel::builder(&format!("dns:///localhost:{port}")).build().unwrap();
    assert_eq!(shares(&channel, 10), BTreeMap::from([(format!("127.0.0.1:{port}"), 10)]));
}

#[test]
fn a_file_that_changes() {
    let _watchdog = Watchdog::new(60);
    let folder = Folder::new("file");
    let path = folder.file("endpoints");
    let servers = [backend("127.0.0.1:0"), backend("127.0.0.1:0"), backend("127.0.0.1:0")];
    let [a, b, c] = [&servers[0], &servers[1], &servers[2]].map(address);
    replace(&path, &format!("# two of them\n{a}\n{b} 3 # thrice\n"));
    let channel =
        Channel::builder(&format!("file://{}", path.display())).service_config(WEIGHTED).build().unwrap();
    assert!(channel.wait_for_ready_endpoints(2, Duration::from_secs(5)));
    let first = shares(&channel, 400);
    assert!(first[&a].abs_diff(100) <= 6 && first[&b].abs_diff(300) <= 6, "{first:?}");

    replace(&path, &format!("{b}\n{c}\n"));
    let changed = Instant::now();
    while !shares(&channel, 1).contains_key(&c) {
        assert!(changed.elapsed() < Duration::from_secs(5), "the change was not seen");
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(shares(&channel, 100), BTreeMap::from([(b.clone(), 50), (c.clone(), 50)]));

    // A list that is wrong does not take the place of one that is right.
    replace(&path, "nonsense\n");
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(shares(&channel, 100), BTreeMap::from([(b, 50), (c, 50)]));
}

/// An endpoint that leaves the list gets no new calls; those that it has come to their end.
#[test]
fn calls_of_an_endpoint_that_leaves_go_on() {
    let _watchdog = Watchdog::new(60);
    let folder = Folder::new("leaves");
    let path = folder.file("endpoints");
    let slow = Server::builder()
        .unary_blocking(WHO, |_, response| {
            thread::sleep(Duration::from_millis(2500));
            response.message.extend_from_slice(b"slow");
            Ok(())
        })
        .bind("127.0.0.1:0")
        .expect("a server")
        .spawn();
    let quick = backend("127.0.0.1:0");
    replace(&path, &address(&slow));
    let channel =
        Channel::builder(&format!("file://{}", path.display())).service_config(ROUND_ROBIN).build().unwrap();
    thread::scope(|scope| {
        let first = scope.spawn(|| {
            let mut response = Vec::new();
            channel.unary(&Call::new(WHO), b"", &mut response).map(|_| response)
        });
        thread::sleep(Duration::from_millis(200));
        replace(&path, &address(&quick));
        thread::sleep(Duration::from_millis(1500));
        assert_eq!(shares(&channel, 10), BTreeMap::from([(address(&quick), 10)]));
        assert!(!first.is_finished(), "the slow call was over too early to prove anything");
        assert_eq!(first.join().unwrap().expect("it goes on"), b"slow");
    });
}

#[test]
fn a_file_that_comes_later() {
    let _watchdog = Watchdog::new(60);
    let folder = Folder::new("later");
    let path = folder.file("endpoints");
    let server = backend("127.0.0.1:0");
    let channel = Channel::builder(&format!("file://{}", path.display())).build().unwrap();
    let call = Call::new(WHO).timeout(Duration::from_secs(20));
    let status = channel.unary(&call, b"", &mut Vec::new()).expect_err("no list");
    assert_eq!(status.code, Code::UNAVAILABLE, "{status}");
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(300));
            replace(&path, &address(&server));
        });
        channel.unary(&call.wait_for_ready(true), b"", &mut Vec::new()).expect("it waited");
    });
}

/// A program's own resolver is asked when a connection is lost, and no sooner.
#[test]
fn a_resolver_of_the_programs_own() {
    let _watchdog = Watchdog::new(60);
    let (first, second) = (backend("127.0.0.1:0"), backend("127.0.0.1:0"));
    let list = Arc::new(Mutex::new(vec![first.local_addr().unwrap()]));
    let asked = Arc::new(AtomicUsize::new(0));
    let (of_resolver, count) = (list.clone(), asked.clone());
    let channel = Channel::builder("dns:///backends")
        .service_config(ROUND_ROBIN)
        .resolver(move || {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(of_resolver.lock().unwrap().clone())
        })
        .build()
        .unwrap();
    shares(&channel, 10);
    *list.lock().unwrap() = vec![second.local_addr().unwrap()];
    assert_eq!(shares(&channel, 10), BTreeMap::from([(address(&first), 10)]));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    first.stop();
    first.join();
    thread::sleep(Duration::from_millis(100));
    let call = Call::new(WHO).wait_for_ready(true).timeout(Duration::from_secs(10));
    let reply = channel.unary(&call, b"", &mut Vec::new()).expect("the second");
    assert_eq!(reply.peer(), address(&second));
    assert!(asked.load(Ordering::SeqCst) >= 2);
}

#[test]
fn states_as_they_change() {
    let _watchdog = Watchdog::new(60);
    let server = backend("127.0.0.1:0");
    let channel = Channel::builder(&format!("ipv4:{}", address(&server))).build().unwrap();
    assert_eq!(channel.state(false), Connectivity::Idle);
    assert!(!channel.wait_for_state_change(Connectivity::Idle, Duration::from_millis(50)));
    channel.state(true);
    assert!(channel.wait_for_state_change(Connectivity::Idle, Duration::from_secs(5)));
    while channel.state(false) != Connectivity::Ready {
        assert!(channel.wait_for_state_change(channel.state(false), Duration::from_secs(5)));
    }
    server.stop();
    server.join();
    // pick_first goes IDLE and waits for a call.
    assert!(channel.wait_for_state_change(Connectivity::Ready, Duration::from_secs(5)));
    assert_eq!(channel.state(false), Connectivity::Idle);
    assert!(!channel.wait_for_ready_endpoints(1, Duration::from_millis(300)));
    assert_eq!(channel.state(false), Connectivity::TransientFailure);
    channel.close();
    assert_eq!(channel.state(false), Connectivity::Shutdown);
}

#[test]
fn without_calls_it_goes_idle() {
    let _watchdog = Watchdog::new(30);
    let server = backend("127.0.0.1:0");
    let channel = Channel::builder(&format!("ipv4:{}", address(&server)))
        .service_config(ROUND_ROBIN)
        .idle_timeout(Some(Duration::from_secs(1)))
        .build()
        .unwrap();
    channel.drive_in_background().expect("a thread");
    let started = Instant::now();
    // Calls with pauses keep it awake.
    for _ in 0..8 {
        shares(&channel, 1);
        thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(channel.state(false), Connectivity::Ready);
    while channel.state(false) == Connectivity::Ready {
        assert!(channel.wait_for_state_change(Connectivity::Ready, Duration::from_secs(5)));
    }
    assert_eq!(channel.state(false), Connectivity::Idle);
    let awake = started.elapsed();
    assert!(awake > Duration::from_millis(2300) && awake < Duration::from_secs(4), "{awake:?}");
    shares(&channel, 1);
    assert_eq!(channel.state(false), Connectivity::Ready);
}

/// What the service config says of methods (grpc/doc/service_config.md).
#[test]
fn methods_of_the_service_config() {
    let _watchdog = Watchdog::new(30);
    let server = Server::builder()
        .unary_blocking("/slow.Service/Method", |_, _| {
            thread::sleep(Duration::from_millis(400));
            Ok(())
        })
        .unary(WHO, |_, response| {
            response.message.resize(1_000, 0);
            Ok(())
        })
        .bind("127.0.0.1:0")
        .expect("a server")
        .spawn();
    let config = r#"{"methodConfig":[
        {"name":[{"service":"slow.Service"}],"timeout":"0.1s","waitForReady":true},
        {"name":[{"service":"test.Service"}],"maxRequestMessageBytes":10,"maxResponseMessageBytes":100}]}"#;
    let address = address(&server);
    let channel = Channel::builder(&format!("ipv4:{address}")).service_config(config).build().unwrap();
    let status_of = |call: Call<'_>, request: &[u8]| {
        channel.unary(&call, request, &mut Vec::new()).expect_err("not OK").code
    };
    let slow = Call::new("/slow.Service/Method");
    assert_eq!(status_of(slow, b""), Code::DEADLINE_EXCEEDED);
    assert_eq!(
        status_of(slow.timeout(Duration::from_secs(9)), b""),
        Code::DEADLINE_EXCEEDED,
        "the smaller one"
    );
    assert_eq!(status_of(Call::new(WHO), &[0; 11]), Code::RESOURCE_EXHAUSTED, "request");
    assert_eq!(status_of(Call::new(WHO), &[0; 10]), Code::RESOURCE_EXHAUSTED, "response");
    server.stop();
    server.join();
    thread::sleep(Duration::from_millis(20));
    // It waits for the server that is gone: until the deadline.
    assert_eq!(status_of(slow, b""), Code::DEADLINE_EXCEEDED);
    assert_eq!(status_of(Call::new(WHO), b""), Code::UNAVAILABLE);
}

/// The kernel accepts, nobody speaks: an attempt has its time, and its words.
#[test]
fn an_attempt_takes_so_long_and_no_longer() {
    let _watchdog = Watchdog::new(30);
    let silent = common::Peer::new(|mut wire| wire.linger());
    let channel = Channel::builder(&silent.target())
        .connect_timeout(Duration::from_millis(200))
        .backoff(Duration::from_millis(100), Duration::from_millis(100))
        .build()
        .unwrap();
    let started = Instant::now();
    let status = channel.unary(&Call::new(WHO), b"", &mut Vec::new()).expect_err("nobody speaks");
    assert_eq!(status.code, Code::UNAVAILABLE, "{status}");
    assert!(status.message.contains("no HTTP/2 SETTINGS in time"), "{status}");
    assert!(started.elapsed() < Duration::from_secs(2));
}
