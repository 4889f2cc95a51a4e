//! Client and server joined by a simulated link on a virtual clock: whatever happens, every call ends with exactly one
//! status, and it is its last event. (The checks that hold always stand in `side.rs`.)

#![allow(unreachable_pub)] // one program, whose modules are all private

mod batch;
mod heap;
mod link;
#[allow(clippy::module_inception)]
mod pair;
mod properties;
mod raw;
mod raw_client;
mod raw_server;
mod side;

use grpclb_core::call::{CallHead, End, Fate, SendError, StartCallError};
use grpclb_core::grpc::Code;
use grpclb_core::time::Duration;
use link::Weather;
use pair::{Pair, Setup, head};

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

const MS: u64 = 1_000_000;

#[test]
fn unary() {
    let mut pair = Pair::ready(&Setup::usual());
    for len in [0, 1, 100, 271_828, 4 * 1024 * 1024] {
        let number = pair.call("/test/Unary", vec![bytes(len)]);
        pair.run();
        let call = &pair.client.calls[number];
        let status = call.status.as_ref().unwrap();
        assert_eq!((status.code, &status.message[..]), (Code::OK, ""), "{len}");
        assert!(call.messages == [bytes(len)]);
        assert_eq!(pair.server.calls[number].authority, "localhost:50051");
    }
    pair.check_rest();
}

#[test]
fn client_streaming() {
    let mut pair = Pair::ready(&Setup::usual());
    let number = pair.call("/test/Collect", [27182, 8, 1828, 45904].map(bytes).to_vec());
    pair.run();
    assert_eq!(pair.client.calls[number].messages, [74922usize.to_be_bytes()]);
    pair.check_rest();
}

#[test]
fn server_streaming() {
    let mut pair = Pair::ready(&Setup::usual());
    let number = pair.call("/test/Expand", vec![vec![3, 0, 255, 1]]);
    pair.run();
    assert_eq!(pair.client.calls[number].messages, [vec![3; 3], vec![], vec![255; 255], vec![1]]);
    pair.check_rest();
}

#[test]
fn bidirectional_streaming() {
    let mut pair = Pair::ready(&Setup::usual());
    let number = pair.start(&head("/test/Echo")).unwrap();
    let sizes = [31415, 9, 2653, 58979];
    for (i, size) in sizes.into_iter().enumerate() {
        pair.client.send(number, [bytes(size)], None);
        pair.run();
        // Each comes back before the next is sent.
        assert_eq!(pair.client.calls[number].messages.len(), i + 1);
    }
    pair.client.send(number, None, Some(side::Finish::HalfClose));
    pair.run();
    assert_eq!(pair.client.calls[number].status.as_ref().unwrap().code, Code::OK);
    assert_eq!(pair.client.calls[number].messages, sizes.map(bytes));
    pair.check_rest();
}

#[test]
fn a_stream_without_messages() {
    let mut pair = Pair::ready(&Setup::usual());
    let number = pair.call("/test/Echo", vec![]);
    pair.run();
    let call = &pair.client.calls[number];
    assert_eq!((call.status.as_ref().unwrap().code, call.messages.len()), (Code::OK, 0));
    pair.check_rest();
}

#[test]
fn many_small_messages() {
    let mut pair = Pair::ready(&Setup::usual());
    let sent: Vec<_> = (0..300).map(|i| bytes(i % 7)).collect();
    let number = pair.call("/test/Echo", sent.clone());
    pair.run();
    assert_eq!(pair.client.calls[number].messages, sent);
    pair.check_rest();
}

#[test]
fn a_message_in_pieces() {
    let mut pair = Pair::ready(&Setup::usual());
    let number = pair.start(&head("/test/Unary")).unwrap();
    let id = pair.client.calls[number].id.unwrap();
    let whole = bytes(100_000);
    pair.client.connection.begin_message(id, 100_000).unwrap();
    assert_eq!(pair.client.connection.begin_message(id, 1), Err(SendError::WrongLength));
    assert_eq!(pair.client.connection.half_close(id), Err(SendError::WrongLength));
    let mut at = 0;
    while at < whole.len() {
        let piece = &whole[at..whole.len().min(at + 7_777)];
        match pair.client.connection.send_message(id, piece, End::Last) {
            Ok(n) => at += n,
            Err(SendError::Blocked) => pair.run(),
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(pair.client.connection.half_close(id), Err(SendError::Closed));
    pair.run();
    assert!(pair.client.calls[number].messages == [whole]);

    // None at all, one too large, and one that is not finished.
    let number = pair.start(&head("/test/Echo")).unwrap();
    let id = pair.client.calls[number].id.unwrap();
    let connection = &mut pair.client.connection;
    connection.begin_message(id, 0).unwrap();
    assert_eq!(connection.send_message(id, b"x", End::More), Err(SendError::WrongLength));
    assert_eq!(connection.half_close(id), Err(SendError::WrongLength));
    assert_eq!(connection.send_message(id, b"", End::More), Ok(0));
    connection.begin_message(id, 3).unwrap();
    assert_eq!(connection.send_message(id, b"ab", End::Last), Ok(2));
    assert_eq!(connection.send_message(id, b"cd", End::Last), Err(SendError::WrongLength));
    assert_eq!(connection.send_message(id, b"c", End::Last), Ok(1));
    pair.run();
    assert_eq!(pair.client.calls[number].messages, [&b""[..], b"abc"]);
    pair.check_rest();
}

#[test]
fn metadata_and_status_go_round() {
    let mut pair = Pair::ready(&Setup::usual());
    let metadata: &[(&[u8], &[u8])] = &[
        (b"echo-text", b" spaces at the edges are not carried "),
        (b"echo-raw-bin", &[0xab, 0xab, 0xab]),
        (b"echo-twice-bin", b""),
        (b"echo-twice-bin", b"\xff\x00"),
        (b"authorization", b"secret"),
    ];
    let number = pair.start(&CallHead { metadata, secure: true, ..head("/test/Echo") }).unwrap();
    pair.client.send(number, None, Some(side::Finish::HalfClose));
    let early = pair.start(&head("/test/Early")).unwrap();
    pair.client.send(early, [bytes(3)], None);
    pair.run();

    let seen = pair.server.calls[number].metadata.as_ref().unwrap();
    let user_agent = format!("grpc-libgrpclb/{}", env!("CARGO_PKG_VERSION"));
    let expected = [
        ("user-agent", user_agent.as_bytes()),
        ("echo-text", b"spaces at the edges are not carried"),
        ("echo-raw-bin", &[0xab, 0xab, 0xab]),
        ("echo-twice-bin", b""),
        ("echo-twice-bin", b"\xff\x00"),
        ("authorization", b"secret"),
    ];
    assert_eq!(*seen, expected.map(|(name, value)| (name.to_owned(), value.to_vec())));
    let status = pair.client.calls[number].status.as_ref().unwrap();
    assert_eq!(status.trailers, seen[1..5]);

    let status = pair.client.calls[early].status.as_ref().unwrap();
    assert_eq!((status.code, &status.message[..]), (Code::RESOURCE_EXHAUSTED, "enough ☺ 100%"));
    let expected = [("why-bin", &[0, 1, 255][..]), ("why", b"because")];
    assert_eq!(status.trailers, expected.map(|(name, value)| (name.to_owned(), value.to_vec())));
    pair.check_rest();
}

#[test]
fn bad_heads_are_refused() {
    let mut pair = Pair::ready(&Setup::usual());
    let mut start = |head: CallHead<'_>| pair.start(&head).unwrap_err();
    assert_eq!(start(head("no/slash")), StartCallError::BadPath);
    assert_eq!(start(head("/with space")), StartCallError::BadPath);
    assert_eq!(start(CallHead { user_agent: b"a\nb", ..head("/a/b") }), StartCallError::BadPath);
    let metadata: &[(&[u8], &[u8])] = &[(b"fine", b"1"), (b"grpc-status", b"0")];
    assert_eq!(start(CallHead { metadata, ..head("/a/b") }), StartCallError::BadMetadata(1));
    let metadata: &[(&[u8], &[u8])] = &[(b"line", b"a\r\nb")];
    assert_eq!(start(CallHead { metadata, ..head("/a/b") }), StartCallError::BadMetadata(0));
    let large = vec![0; 30_000];
    let metadata: &[(&[u8], &[u8])] = &[(b"large-bin", &large)];
    assert_eq!(start(CallHead { metadata, ..head("/a/b") }), StartCallError::TooLarge);
    assert_eq!(pair.client.connection.calls(), 0);
    pair.run();
    assert!(pair.server.calls.is_empty());
}

#[test]
fn a_deadline_passes_on_both_sides() {
    let weather = Weather { delay: 5 * MS, ..Weather::FAIR };
    let mut pair = Pair::ready(&Setup { weather, ..Setup::usual() });
    let begin = pair.now;
    let timeout = Some(Duration::from_millis(20));
    let number = pair.start(&CallHead { timeout, ..head("/test/Never") }).unwrap();
    pair.client.send(number, [bytes(10)], None);
    assert_eq!(pair.client.connection.poll_timeout(), Some(begin.after(Duration::from_millis(20))));
    pair.run();
    let status = pair.client.calls[number].status.as_ref().unwrap();
    assert_eq!((status.code, status.at.since(begin)), (Code::DEADLINE_EXCEEDED, Duration::from_millis(20)));
    let server = &pair.server.calls[number];
    assert_eq!(server.timeout, timeout);
    // The client's RST_STREAM and the server's own timer are due at the same moment.
    let status = server.status.as_ref().unwrap();
    assert_eq!(status.code, Code::DEADLINE_EXCEEDED);
    assert_eq!(status.at.since(begin), Duration::from_millis(25));
    assert_eq!(pair.client.connection.poll_timeout(), None);
    pair.check_rest();
}

#[test]
fn a_server_in_a_hurry_is_still_a_passed_deadline() {
    // The client's clock stands still: what it gets is what the server's timer made of it.
    let mut pair = Pair::ready(&Setup::usual());
    let timeout = Some(Duration::from_millis(20));
    let number = pair.start(&CallHead { timeout, ..head("/test/Never") }).unwrap();
    pair.run_for(Duration::ZERO);
    let later = pair.now.after(Duration::from_millis(20));
    pair.server.connection.handle_timeout(later).unwrap();
    pair.run_for(Duration::ZERO);
    let status = pair.client.calls[number].status.as_ref().unwrap();
    assert_eq!((status.code, &status.message[..]), (Code::DEADLINE_EXCEEDED, "the deadline passed"));
    pair.check_rest();
}

#[test]
fn deadlines_pass_in_their_order() {
    let mut pair = Pair::ready(&Setup::usual());
    let begin = pair.now;
    for timeout in [50, 10, 40, 20, 30, 10] {
        let timeout = Some(Duration::from_millis(timeout));
        pair.start(&CallHead { timeout, ..head("/test/Never") }).unwrap();
    }
    pair.run();
    for (call, expected) in pair.client.calls.iter().zip([50, 10, 40, 20, 30, 10]) {
        let status = call.status.as_ref().unwrap();
        assert_eq!(status.code, Code::DEADLINE_EXCEEDED);
        assert_eq!(status.at.since(begin), Duration::from_millis(expected));
    }
    pair.check_rest();
}

#[test]
fn a_call_in_time_leaves_no_timer() {
    let mut pair = Pair::ready(&Setup::usual());
    let timeout = Some(Duration::from_secs(20));
    let number = pair.start(&CallHead { timeout, ..head("/test/Unary") }).unwrap();
    pair.client.send(number, [bytes(10)], Some(side::Finish::HalfClose));
    pair.run_for(Duration::ZERO);
    assert_eq!(pair.client.calls[number].status.as_ref().unwrap().code, Code::OK);
    assert_eq!(pair.client.connection.poll_timeout(), None);
    assert_eq!(pair.server.connection.poll_timeout(), None);
}

#[test]
fn a_cancelled_call_ends_on_both_sides() {
    let mut pair = Pair::ready(&Setup::usual());
    let number = pair.start(&head("/test/Echo")).unwrap();
    pair.client.send(number, [bytes(10)], None);
    pair.run();
    assert_eq!(pair.client.calls[number].messages.len(), 1);
    let id = pair.client.calls[number].id.unwrap();
    pair.client.connection.cancel(id);
    pair.client.connection.cancel(id);
    pair.run();
    for (side, fate) in [(&pair.client, Fate::Seen), (&pair.server, Fate::Seen)] {
        let status = side.calls[number].status.as_ref().unwrap();
        assert_eq!((status.code, status.fate), (Code::CANCELLED, fate), "{}", side.name);
    }
    // Commands on a call that is over do nothing.
    pair.client.connection.cancel(id);
    pair.client.connection.release(id, 5);
    pair.run();
    pair.check_rest();
}

#[test]
fn a_call_that_is_cancelled_before_it_left_never_left() {
    let mut pair = Pair::ready(&Setup::usual());
    let number = pair.start(&head("/test/Echo")).unwrap();
    pair.client.connection.cancel(pair.client.calls[number].id.unwrap());
    pair.run();
    let status = pair.client.calls[number].status.as_ref().unwrap();
    assert_eq!((status.code, status.fate), (Code::CANCELLED, Fate::NeverLeft));
    pair.check_rest();
}

#[test]
fn a_server_that_cancels_hears_no_more() {
    let mut pair = Pair::ready(&Setup::usual());
    let number = pair.start(&head("/test/Never")).unwrap();
    pair.client.send(number, [bytes(10)], None);
    pair.run();
    pair.server.connection.cancel(pair.server.calls[number].id.unwrap());
    pair.run();
    let status = pair.client.calls[number].status.as_ref().unwrap();
    assert_eq!(status.code, Code::CANCELLED);
    assert_eq!(status.message, "the peer sent RST_STREAM with CANCEL");
    assert_eq!(pair.server.calls[number].status, None);
    assert_eq!((pair.client.connection.calls(), pair.server.connection.calls()), (0, 0));
}

#[test]
fn the_carrier_is_lost() {
    let mut pair = Pair::ready(&Setup::usual());
    let seen = pair.start(&head("/test/Echo")).unwrap();
    pair.client.send(seen, [bytes(10)], None);
    pair.run();
    let never_left = pair.start(&head("/test/Echo")).unwrap();
    pair.lose();
    let status = |call: usize| pair.client.calls[call].status.clone().unwrap();
    assert_eq!((status(seen).code, status(seen).fate), (Code::UNAVAILABLE, Fate::Seen));
    assert_eq!((status(never_left).code, status(never_left).fate), (Code::UNAVAILABLE, Fate::NeverLeft));
    assert_eq!(pair.server.calls[0].status.as_ref().unwrap().code, Code::CANCELLED);
    assert_eq!(pair.server.calls.len(), 1);
    let now = pair.now;
    assert_eq!(pair.client.connection.start_call(now, &head("/a/b")), Err(StartCallError::Closed));
    assert!(pair.client.connection.transmit(now).is_empty());
}

#[test]
fn a_connection_error_ends_every_call_with_its_reason() {
    let mut pair = Pair::ready(&Setup::usual());
    for _ in 0..3 {
        pair.start(&head("/test/Never")).unwrap();
    }
    pair.run();
    // DATA on stream 0 (RFC 9113 §6.1).
    pair.client.receive(pair.now, &[0, 0, 1, 0, 0, 0, 0, 0, 0, 7], &mut pair::Listener);
    let error = pair.client.error.unwrap();
    for call in &pair.client.calls {
        let status = call.status.as_ref().unwrap();
        assert_eq!((status.code, &status.message[..]), (Code::UNAVAILABLE, error.reason));
    }
    let now = pair.now;
    assert_eq!(pair.client.connection.recv(now, &mut &[][..]).unwrap_err(), error);
    assert_eq!(pair.client.connection.start_call(now, &head("/a/b")), Err(StartCallError::Closed));
    assert_eq!(pair.client.connection.calls(), 0);
    // The GOAWAY still leaves, and the server's calls end with it.
    assert!(!pair.client.connection.is_closed());
    pair.run();
    assert!(pair.client.connection.is_closed() && pair.server.goaway.is_some());
}

#[test]
fn a_peer_that_does_not_answer_keepalive() {
    let mut setup = Setup::usual();
    setup.client.http2.keepalive_time = Some(Duration::from_secs(10));
    let mut pair = Pair::new(&setup);
    pair.run_for(Duration::ZERO);
    let number = pair.start(&head("/test/Never")).unwrap();
    pair.run_for(Duration::from_secs(60));
    assert_eq!(pair.client.calls[number].status, None, "the server answers PING");
    let begin = pair.now;
    // From now on nothing comes back.
    let connection = &mut pair.client.connection;
    let error = loop {
        let at = connection.poll_timeout().unwrap();
        assert!(at.since(begin) <= Duration::from_secs(30));
        if let Err(error) = connection.handle_timeout(at) {
            break error;
        }
        let n = connection.transmit(at).len();
        connection.transmitted(n);
    };
    pair.client.poll(pair.now, &mut pair::Listener);
    let status = pair.client.calls[number].status.as_ref().unwrap();
    assert_eq!((status.code, &status.message[..]), (Code::UNAVAILABLE, error.reason));
    assert_eq!(pair.client.connection.poll_timeout(), None);
}

#[test]
fn a_server_that_shuts_down_finishes_what_runs() {
    let mut pair = Pair::ready(&Setup { weather: Weather { delay: MS, ..Weather::FAIR }, ..Setup::usual() });
    let number = pair.start(&head("/test/Echo")).unwrap();
    pair.client.send(number, [bytes(10)], None);
    pair.run();
    let now = pair.now;
    pair.server.connection.shutdown(now);
    // Started before the client has heard of it: it still counts (RFC 9113 §6.8).
    let late = pair.call("/test/Unary", vec![bytes(5)]);
    pair.run();
    assert!(pair.client.goaway.is_some());
    assert_eq!(pair.client.calls[late].status.as_ref().unwrap().code, Code::OK);
    assert_eq!(pair.start(&head("/test/Echo")), Err(StartCallError::GoingAway));
    assert!(!pair.server.connection.is_closed() && pair.client.calls[number].status.is_none());
    pair.client.send(number, [bytes(20)], Some(side::Finish::HalfClose));
    pair.run();
    let call = &pair.client.calls[number];
    assert_eq!((call.status.as_ref().unwrap().code, call.messages.len()), (Code::OK, 2));
    assert!(pair.server.connection.is_closed());
    pair.check_rest();
}

#[test]
fn calls_beyond_the_servers_table_are_refused_or_wait() {
    let mut setup = Setup::usual();
    setup.server_sizes.streams = 3;
    // The client has not seen the server's SETTINGS yet, and starts more than there is room for.
    let mut pair = Pair::new(&setup);
    for _ in 0..5 {
        let number = pair.start(&head("/test/Echo")).unwrap();
        pair.client.send(number, [bytes(10)], None);
    }
    pair.run();
    for number in 0..3 {
        pair.client.send(number, None, Some(side::Finish::HalfClose));
    }
    pair.run();
    let fates: Vec<_> = pair.client.calls.iter().map(|call| call.status.as_ref().unwrap()).collect();
    assert!(fates[..3].iter().all(|status| status.code == Code::OK));
    for status in &fates[3..] {
        assert_eq!((status.code, status.fate), (Code::UNAVAILABLE, Fate::Refused));
    }
    // Now it knows.
    let open: Vec<_> = (0..3).map(|_| pair.start(&head("/test/Echo")).unwrap()).collect();
    assert_eq!(pair.start(&head("/test/Echo")), Err(StartCallError::Blocked));
    pair.run();
    assert!(!pair.client.startable);
    pair.client.send(open[1], None, Some(side::Finish::HalfClose));
    pair.run();
    assert!(pair.client.startable);
    pair.call("/test/Echo", vec![]);
    for number in [open[0], open[2]] {
        pair.client.send(number, None, Some(side::Finish::HalfClose));
    }
    pair.run();
    pair.check_rest();
}

#[test]
fn a_full_table_of_the_clients_own() {
    let mut setup = Setup::usual();
    setup.client_sizes.streams = 2;
    let mut pair = Pair::ready(&setup);
    let first = pair.start(&head("/test/Echo")).unwrap();
    pair.start(&head("/test/Never")).unwrap();
    assert_eq!(pair.start(&head("/test/Echo")), Err(StartCallError::Blocked));
    pair.client.send(first, None, Some(side::Finish::HalfClose));
    pair.run();
    assert!(pair.client.startable);
    pair.call("/test/Echo", vec![bytes(1)]);
    pair.run();
    assert_eq!(pair.client.calls[2].status.as_ref().unwrap().code, Code::OK);
}

#[test]
fn messages_above_the_limit() {
    let mut setup = Setup::usual();
    setup.server.max_message_size = 100;
    setup.client.max_message_size = 200;
    let mut pair = Pair::ready(&setup);
    let fits = pair.call("/test/Unary", vec![bytes(100)]);
    let too_large = pair.call("/test/Unary", vec![bytes(101)]);
    // 201 octets back.
    let back = pair.call("/test/Expand", vec![vec![200, 201, 3]]);
    let after = pair.call("/test/Unary", vec![bytes(7)]);
    pair.run();
    let status = |call: usize| pair.client.calls[call].status.clone().unwrap();
    assert_eq!(status(fits).code, Code::OK);
    assert_eq!(status(too_large).code, Code::RESOURCE_EXHAUSTED);
    assert_eq!(status(too_large).message, "a message is larger than this side takes");
    assert_eq!(pair.server.calls[too_large].status.as_ref().unwrap().code, Code::RESOURCE_EXHAUSTED);
    assert_eq!(status(back).code, Code::RESOURCE_EXHAUSTED);
    assert_eq!(pair.client.calls[back].messages, [vec![200; 200]]);
    assert_eq!(status(after).code, Code::OK);
    pair.check_rest();
}

#[test]
fn what_is_not_released_holds_the_peer_back() {
    let mut pair = Pair::ready(&Setup::usual());
    pair.server.releases = false;
    let window = Setup::usual().server.http2.stream_window as usize;
    let number = pair.call("/test/Collect", vec![bytes(window)]);
    pair.run();
    assert_eq!(pair.client.calls[number].status, None);
    assert!(pair.server.calls[number].messages.is_empty());
    // The prefix was released by the layer itself; the rest is for the application.
    let id = pair.server.calls[number].id.unwrap();
    pair.server.connection.release(id, window - 5);
    pair.run();
    assert_eq!(pair.client.calls[number].status.as_ref().unwrap().code, Code::OK);
    pair.check_rest();
    // What was never released came back with the stream's end: the connection's window is whole.
    pair.server.releases = true;
    let number = pair.call("/test/Unary", vec![bytes(1_000_000)]);
    pair.run();
    assert_eq!(pair.client.calls[number].status.as_ref().unwrap().code, Code::OK);
}

#[test]
fn a_connection_cut_at_any_octet() {
    let calls = |pair: &mut Pair| {
        pair.call("/test/Unary", vec![bytes(40)]);
        pair.call("/test/Expand", vec![vec![5, 6]]);
        pair.call("/test/Echo", vec![bytes(3), bytes(0), bytes(30)]);
        pair.call("/test/Early", vec![bytes(9)]);
    };
    let mut whole = Pair::ready(&Setup::usual());
    let begin = whole.there.carried + whole.back.carried;
    calls(&mut whole);
    whole.run();
    let end = whole.there.carried + whole.back.carried;
    assert!(end > begin + 300);
    for cut in 1..=end {
        // Small writes, so that the cut falls everywhere.
        let weather = Weather { write: 3, piece: 2, delay: 1, jitter: 3, seed: cut };
        let mut pair = Pair::new(&Setup { cut, weather, ..Setup::usual() });
        calls(&mut pair);
        pair.run();
        for (call, complete) in pair.client.calls.iter().zip(&whole.client.calls) {
            let status = call.status.as_ref().unwrap_or_else(|| panic!("no status, cut at {cut}"));
            let (code, all) = (complete.status.as_ref().unwrap().code, &complete.messages);
            assert!(
                status.code == Code::UNAVAILABLE || (status.code == code && call.messages == *all),
                "{cut}"
            );
        }
        assert_eq!((pair.client.connection.calls(), pair.server.connection.calls()), (0, 0));
    }
}
