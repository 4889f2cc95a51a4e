//! gRPC on a microcontroller: no heap, no operating system, all memory in one static that lies in `.bss`.
//!
//! `.ci/firmware.sh` links it for thumbv7em-none-eabi and looks at the result: where the storage lies, and that no
//! panic can be reached. Two collectors are balanced over; one connection at a time is enough for it. The board is left out: [`board`] stands for its driver, in a way that no optimizer sees
//! through.
//!
//! ```text
//! cargo rustc -p grpclb-core --example firmware --target thumbv7em-none-eabi --profile firmware -- \
//!     -C link-arg=-Tlink.x -C link-arg=-Lcore/examples/firmware
//! ```
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

use grpclb_core::balancer::{
    self, Action, Address, Channel, Endpoint, Pick, Position, ServiceConfig, SubchannelEvent, SubchannelId,
    Target,
};
use grpclb_core::call::{CallHead, CallId, Config, Connection, End, Event, Storage};
use grpclb_core::grpc::Code;
use grpclb_core::http2::ConnectionError;
use grpclb_core::memory::Inline;
use grpclb_core::time::Duration;

/// Four calls at once; 512 octets for each header table, 2 KiB for headers, 4 KiB to transmit.
type Memory = Inline<4, 512, 512, 2048, 4096>;

/// Two collectors, and the text of their addresses.
type Collectors = balancer::Inline<2, 32>;

/// The board's clock and its network: `black_box` stands for registers and DMA.
mod board {
    use core::hint::black_box;
    use grpclb_core::balancer::Address;
    use grpclb_core::time::Instant;

    pub(crate) fn now() -> Instant {
        Instant::from_nanos(black_box(0))
    }

    /// Octets that arrived; none when there are none.
    pub(crate) fn receive(buffer: &mut [u8]) -> &[u8] {
        let n = black_box(&mut *buffer).first().copied().unwrap_or(0);
        buffer.get(..usize::from(n)).unwrap_or_default()
    }

    /// How many of them the network took.
    pub(crate) fn send(bytes: &[u8]) -> usize {
        black_box(bytes).len()
    }

    /// Connects, and says whether that went well.
    pub(crate) fn connect(address: Address<'_>) -> bool {
        black_box(address) != Address::Unix(b"")
    }

    /// Settings that somebody has typed into the board.
    pub(crate) fn settings() -> [&'static str; 3] {
        black_box(["ipv4:10.0.0.1:50051", "10.0.0.2:50051", r#"{"loadBalancingPolicy":"round_robin"}"#])
    }

    pub(crate) fn measure() -> [u8; 4] {
        black_box([0; 4])
    }

    /// This board may also be the one that is called.
    pub(crate) fn is_server() -> bool {
        black_box(false)
    }
}

/// What the program keeps of its calls.
#[derive(Default)]
struct Station {
    running: Option<CallId>,
    delivered: u32,
    failed: u32,
}

/// One turn: bytes in, events, clock, bytes out.
fn turn<S: Storage>(
    station: &mut Station,
    connection: &mut Connection<S>,
    buffer: &mut [u8],
) -> Result<(), ConnectionError> {
    let mut input = board::receive(buffer);
    while let Some(event) = connection.recv(board::now(), &mut input)? {
        if let Some((call, octets)) = told(station, event) {
            answer(connection, call, octets);
        }
    }
    connection.handle_timeout(board::now())?;
    while let Some(event) = connection.poll_event() {
        told(station, event);
    }
    if station.running.is_none() && !board::is_server() {
        report(station, connection);
    }
    loop {
        let n = board::send(connection.transmit(board::now()));
        if n == 0 {
            return Ok(());
        }
        connection.transmitted(n);
    }
}

/// Takes note of an event; a message is to be released, and by a server answered.
fn told(station: &mut Station, event: Event<'_, '_>) -> Option<(CallId, usize)> {
    match event {
        Event::Message { call, piece, .. } => return Some((call, piece.bytes.len())),
        Event::Status { status, .. } => {
            station.running = None;
            match status.code {
                Code::OK => station.delivered = station.delivered.wrapping_add(1),
                _ => station.failed = station.failed.wrapping_add(1),
            }
        }
        _ => {}
    }
    None
}

fn answer<S: Storage>(connection: &mut Connection<S>, call: CallId, octets: usize) {
    connection.release(call, octets);
    if board::is_server() && connection.reply(call, &board::measure()).is_err() {
        connection.cancel(call);
    }
}

/// Calls `Station/Report` with what was measured.
fn report<S: Storage>(station: &mut Station, connection: &mut Connection<S>) {
    let head = CallHead {
        path: b"/weather.Station/Report",
        authority: b"collector",
        timeout: Some(Duration::from_secs(10)),
        metadata: &[(b"station-bin", &[1, 2, 3])],
        ..CallHead::default()
    };
    let Ok(call) = connection.start_call(board::now(), &head) else { return };
    station.running = Some(call);
    if connection.send_message(call, &board::measure(), End::Last).is_err() {
        connection.cancel(call);
    }
}

/// Reads the settings: the first collector is a target, the second an address, then the service config.
fn resolve(channel: &mut Channel<&mut Collectors>) -> Option<()> {
    let [target, second, config] = board::settings();
    let first = match Target::parse(target).ok()? {
        Target::Addresses(mut addresses) => Address::Ip(addresses.next()?),
        _ => return None,
    };
    let addresses = [[first], [Address::parse(second).ok()?]];
    let endpoints = addresses.each_ref().map(|addresses| Endpoint { addresses, weight: 1 });
    let config = ServiceConfig::parse(config).ok()?;
    channel.handle_resolution(board::now(), &endpoints, &config).ok()
}

/// The collector whose turn it is, connected.
fn choose(channel: &mut Channel<&mut Collectors>, position: &Position) -> Option<SubchannelId> {
    channel.connect(board::now());
    channel.handle_timeout(board::now());
    while let Some(action) = channel.poll_action() {
        match action {
            Action::Resolve if resolve(channel).is_none() => channel.handle_resolution_error(board::now()),
            Action::Connect(id) => {
                let connected = channel.address(id).is_some_and(board::connect);
                let event = if connected { SubchannelEvent::Ready } else { SubchannelEvent::Failed };
                channel.handle_subchannel(board::now(), id, event);
            }
            Action::Resolve | Action::Close(_) => {}
        }
    }
    match channel.pick(board::now(), position) {
        Pick::Subchannel(id) => Some(id),
        _ => None,
    }
}

/// Runs until the connection ends, then begins another one in the same memory.
fn run(memory: &mut Memory, buffer: &mut [u8]) -> Station {
    let mut station = Station::default();
    let config = if board::is_server() { Config::server() } else { Config::client() };
    let mut connection = Connection::new(&mut *memory, &config, board::now());
    while !connection.is_closed() {
        if turn(&mut station, &mut connection, buffer).is_err() {
            break;
        }
    }
    connection.carrier_lost(board::now());
    while connection.poll_event().is_some() {}
    station
}

#[cfg(target_os = "none")]
mod start {
    use super::*;

    #[cortex_m_rt::entry]
    fn main() -> ! {
        // `entry` makes references of these. All zero, so the linker puts them into `.bss`, and flash holds none of it.
        static mut MEMORY: Memory = Memory::new();
        static mut BUFFER: [u8; 1024] = [0; 1024];
        static mut COLLECTORS: Collectors = Collectors::new();
        let position = Position::new(board::now().as_nanos());
        let mut channel = Channel::new(COLLECTORS, &balancer::Config::default());
        loop {
            if let Some(id) = choose(&mut channel, &position) {
                core::hint::black_box(run(MEMORY, BUFFER));
                channel.handle_subchannel(board::now(), id, SubchannelEvent::Lost);
            }
        }
    }

    /// Never linked: the script looks for it.
    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        loop {}
    }
}

/// On a machine with an operating system it only shows what it would need.
#[cfg(not(target_os = "none"))]
fn main() {
    let mut memory = Memory::new();
    let mut collectors = Collectors::new();
    let mut channel = Channel::new(&mut collectors, &balancer::Config::default());
    let chosen = choose(&mut channel, &Position::new(0)).and_then(|id| channel.address(id));
    println!(
        "{} octets of storage; the first collector is {chosen:?}",
        size_of::<Memory>() + size_of::<Collectors>()
    );
    if std::env::args().len() > 9 {
        println!("{} reports delivered", run(&mut memory, &mut [0; 1024]).delivered);
    }
}
