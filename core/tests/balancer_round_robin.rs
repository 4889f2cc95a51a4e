//! round_robin and weighted_round_robin: gRPC's load-balancing document, gRFC A58; configured weights are ours.

mod balancer_host;

use balancer_host::{Host, PICK_FIRST, ROUND_ROBIN, WEIGHTED, ms, secs};
use grpclb_core::balancer::{Connectivity::*, Position, ResolutionError, Table};

#[test]
fn connects_to_all_at_once_and_picks_in_order() {
    let mut host = Host::with(ROUND_ROBIN, "1 2 3");
    assert_eq!(host.actions(), ["connect 1", "connect 2", "connect 3"]);
    assert_eq!((host.state(), host.pick()), (Connecting, "queue".to_string()));
    host.ready("2");
    assert_eq!((host.state(), host.pick()), (Ready, "2".to_string()));
    host.ready("1");
    host.ready("3");
    assert_eq!(host.picks(6), ["2", "3", "1", "2", "3", "1"]);
    assert_eq!(host.channel.ready_count(), 3);
}

/// Aggregation (load-balancing.md): READY, else CONNECTING, else IDLE, else TRANSIENT_FAILURE, which is sticky (A62).
#[test]
fn the_state_is_the_best_of_all() {
    let mut host = Host::with(ROUND_ROBIN, "1 2");
    host.actions();
    assert_eq!(host.failed("1"), ["resolve"]);
    assert_eq!(host.state(), Connecting);
    host.failed("2");
    assert_eq!(host.state(), TransientFailure);
    host.pass(secs(1));
    assert_eq!(
        host.endpoints(),
        ["1 TransientFailure", "2 TransientFailure"],
        "sticky, though they are connecting"
    );
    assert_eq!((host.state(), host.pick()), (TransientFailure, "fail".to_string()));
    host.ready("2");
    assert_eq!((host.state(), host.pick()), (Ready, "2".to_string()));
    assert_eq!(host.endpoints(), ["1 TransientFailure", "2 Ready"]);
}

#[test]
fn a_lost_connection_is_made_again_at_once() {
    let mut host = Host::with(ROUND_ROBIN, "1 2");
    host.actions();
    host.ready("1");
    host.ready("2");
    assert_eq!(host.lost("1"), ["resolve", "connect 1"]);
    assert_eq!(host.picks(3), ["2", "2", "2"]);
    assert_eq!(host.endpoints(), ["1 Connecting", "2 Ready"]);
    assert_eq!(host.lost("2"), ["resolve", "connect 2"]);
    assert_eq!((host.state(), host.pick()), (Connecting, "queue".to_string()));
}

#[test]
fn endpoints_with_several_addresses_have_one_connection() {
    let mut host = Host::with(ROUND_ROBIN, "1,2 3,4");
    assert_eq!(host.actions(), ["connect 1", "connect 3"]);
    assert_eq!(host.pass(ms(250)), ["250 connect 2", "250 connect 4"]);
    assert_eq!(host.ready("2"), ["close 1"]);
    assert_eq!(host.ready("3"), ["close 4"]);
    assert_eq!(host.picks(4), ["2", "3", "2", "3"]);
    assert_eq!(host.endpoints(), ["2 Ready", "3 Ready"]);
}

#[test]
fn duplicates_are_one_endpoint_whatever_the_order_of_addresses() {
    let mut host = Host::with(ROUND_ROBIN, "1,2 2,1 1 3");
    assert_eq!(host.channel.endpoint_count(), 2);
    host.actions();
    host.ready("1");
    host.ready("3");
    assert_eq!(host.picks(4), ["1", "3", "1", "3"]);
}

mod updates {
    use super::*;

    #[test]
    fn keep_states_and_connections() {
        let mut host = Host::with(ROUND_ROBIN, "1 2 3 4");
        host.actions();
        host.ready("1");
        host.ready("2");
        host.failed("3");
        host.resolve(ROUND_ROBIN, "5 4 3 2").unwrap();
        assert_eq!(host.actions(), ["close 1", "connect 5"]);
        assert_eq!(host.endpoints(), ["5 Connecting", "4 Connecting", "3 TransientFailure", "2 Ready"]);
        assert_eq!(host.picks(2), ["2", "2"]);
        assert_eq!(host.pass(secs(1)), ["1000 connect 3"], "the backoff goes on");
    }

    #[test]
    fn a_moved_address_stays_connected() {
        let mut host = Host::with(ROUND_ROBIN, "1,2");
        host.actions();
        host.ready("1");
        host.resolve(ROUND_ROBIN, "2 3,1").unwrap();
        assert_eq!(host.actions(), ["connect 2"]);
        assert_eq!(host.endpoints(), ["2 Connecting", "1 Ready"]);
    }

    #[test]
    fn an_empty_list_closes_all_and_asks_again_with_backoff() {
        let mut host = Host::with(ROUND_ROBIN, "1 2");
        host.actions();
        host.ready("1");
        host.resolve(ROUND_ROBIN, "").unwrap();
        assert_eq!(host.actions(), ["close 1", "close 2"]);
        assert_eq!((host.state(), host.pick()), (TransientFailure, "fail".to_string()));
        assert_eq!(host.pass(secs(1)), ["1000 resolve"]);
        host.resolve(ROUND_ROBIN, "").unwrap();
        assert_eq!(host.pass(ms(1279)), [""; 0]);
        assert_eq!(host.pass(ms(641)).len(), 1, "1.6 s, give or take a fifth");
        host.resolve(ROUND_ROBIN, "1").unwrap();
        assert_eq!(host.state(), Connecting, "an empty list is no failure to connect");
        assert_eq!(host.actions(), ["connect 1"]);
    }

    #[test]
    fn an_id_out_of_use_is_passed_over() {
        let mut host = Host::with(ROUND_ROBIN, "1 2");
        host.actions();
        host.resolve(ROUND_ROBIN, "2 3").unwrap();
        assert_eq!(host.actions(), ["close 1", "connect 3"]);
        assert_eq!(host.ready("1"), [""; 0]);
        assert_eq!(host.failed("1"), [""; 0]);
        assert_eq!(host.endpoints(), ["2 Connecting", "3 Connecting"]);
    }

    #[test]
    fn an_attempt_that_the_host_never_heard_of_is_not_closed() {
        let mut host = Host::with(ROUND_ROBIN, "1 2");
        host.resolve(ROUND_ROBIN, "3").unwrap();
        assert_eq!(host.actions(), ["connect 3"]);
    }

    #[test]
    fn from_pick_first_and_back() {
        let mut host = Host::with(PICK_FIRST, "1 2 3");
        host.actions();
        host.ready("1");
        host.resolve(ROUND_ROBIN, "1 2 3").unwrap();
        assert_eq!(host.actions(), ["connect 2", "connect 3"]);
        assert_eq!(host.pick(), "1");
        host.ready("3");
        host.ready("2");
        host.resolve(PICK_FIRST, "2 1 3").unwrap();
        assert_eq!(host.actions(), ["close 1", "close 3"]);
        assert_eq!(host.picks(2), ["2", "2"]);
    }

    #[test]
    fn of_unix_addresses() {
        let mut host = Host::with(ROUND_ROBIN, "unix:/run/a unix:/run/bb 1");
        host.actions();
        for address in ["unix:/run/a", "unix:/run/bb", "1"] {
            host.ready(address);
        }
        host.resolve(ROUND_ROBIN, "unix:/run/ccc unix:/run/bb").unwrap();
        assert_eq!(host.actions(), ["close unix:/run/a", "close 1", "connect unix:/run/ccc"]);
        assert_eq!(host.endpoints(), ["unix:/run/ccc Connecting", "unix:/run/bb Ready"]);
        // Texts come and go, and the room stays.
        for round in 0..1000 {
            let path = format!("unix:/{}", "x".repeat(round % 200));
            host.resolve(ROUND_ROBIN, &format!("{path}b unix:/run/bb {path}c")).unwrap();
            host.actions();
            assert_eq!(host.endpoints()[1], "unix:/run/bb Ready");
            assert_eq!(host.endpoints()[0], format!("{path}b Connecting"));
        }
    }
}

/// grpc-go #2580: what a position should do.
#[test]
fn the_position_goes_on_over_updates_and_states() {
    let mut host = Host::with(ROUND_ROBIN, "1 2 3");
    host.actions();
    for address in ["1", "2", "3"] {
        host.ready(address);
    }
    assert_eq!(host.picks(2), ["1", "2"]);
    host.resolve(ROUND_ROBIN, "1 2 3").unwrap();
    assert_eq!(host.picks(2), ["3", "1"], "not from the start again");
    host.resolve(ROUND_ROBIN, "1 2 3 4").unwrap();
    assert_eq!(host.pick(), "2", "4 is not READY yet");
}

#[test]
fn the_shared_picker_picks_like_the_channel() {
    let mut host = Host::with(WEIGHTED, "1*1 2*2 3*4");
    host.actions();
    for address in ["1", "2", "3"] {
        host.ready(address);
    }
    let mut words = vec![0; host.channel.picker_words()];
    let shape = host.channel.build_picker(&mut words).unwrap();
    let table = Table::new(shape, &words);
    assert!(shape.words() <= words.len());
    let position = Position::new(0);
    for _ in 0..1000 {
        let id = table.pick(&position).unwrap();
        let address = host.channel.address(id).unwrap().to_string();
        assert_eq!(balancer_host::long(&host.pick()), address);
    }
    let version = host.channel.picker_version();
    assert_eq!(host.pass(secs(1)), [""; 0]);
    assert_eq!(host.channel.picker_version(), version);
    host.lost("1");
    assert_ne!(host.channel.picker_version(), version);
    let needed = host.channel.build_picker(&mut []).unwrap_err().needed;
    assert!(needed > 0 && host.channel.build_picker(&mut vec![0; needed]).is_ok());
    assert_eq!(host.channel.build_picker(&mut vec![0; needed - 1]).unwrap_err().needed, needed);
}

mod weights {
    use super::*;

    fn config(weights: &str) -> String {
        format!(r#"{{"loadBalancingConfig":[{{"weighted_round_robin":{{"weights":{{{weights}}}}}}}]}}"#)
    }

    fn shares(config: &str, endpoints: &str, n: usize) -> Vec<usize> {
        let mut host = Host::with(config, endpoints);
        let names: Vec<String> = host.actions().iter().map(|a| a["connect ".len()..].to_string()).collect();
        for name in &names {
            host.ready(name);
        }
        let count = host.count(n);
        names.iter().map(|name| count.get(name).copied().unwrap_or(0)).collect()
    }

    fn close(counts: &[usize], expected: &[usize]) {
        assert!(
            counts.len() == expected.len() && counts.iter().zip(expected).all(|(a, b)| a.abs_diff(*b) <= 6),
            "{counts:?} is not {expected:?}"
        );
    }

    #[test]
    fn of_the_config_by_address_and_port_or_address() {
        let weights = config(r#""10.0.0.1:50051":1,"10.0.0.2":2,"[::1]:50051":3,"::2":4"#);
        close(&shares(&weights, "1 2 [::1]:50051 [::2]:7", 1000), &[100, 200, 300, 400]);
    }

    #[test]
    fn the_port_goes_first_and_absent_is_the_resolvers() {
        let weights = config(r#""10.0.0.1:50051":8,"10.0.0.1":1"#);
        close(&shares(&weights, "1 10.0.0.1:2 2 3*6", 1600), &[800, 100, 100, 600]);
        let weights = config(r#""10.0.0.1":1,"10.0.0.1:50051":8"#);
        close(&shares(&weights, "1 10.0.0.1:2 2 3*6", 1600), &[800, 100, 100, 600]);
        close(&shares(WEIGHTED, "1 2*3", 400), &[100, 300]);
    }

    #[test]
    fn any_address_of_an_endpoint_names_it() {
        let mut host = Host::with(&config(r#""::1":3"#), "1,[::1]:1 2");
        host.actions();
        assert_eq!(host.channel.endpoint(0).unwrap().weight, 3);
        assert_eq!(host.channel.endpoint(1).unwrap().weight, 1);
    }

    #[test]
    fn zero_means_connected_but_no_calls() {
        let mut host = Host::with(&config(r#""10.0.0.1":0,"10.0.0.2":1"#), "1 2");
        assert_eq!(host.actions(), ["connect 1", "connect 2"]);
        host.ready("1");
        assert_eq!((host.state(), host.pick()), (Connecting, "queue".to_string()), "1 does not count");
        assert_eq!(host.channel.ready_count(), 1);
        host.ready("2");
        assert_eq!(host.picks(3), ["2", "2", "2"]);
        host.failed("2");
        host.failed("2");
        host.lost("2");
        host.failed("2");
        assert_eq!((host.state(), host.pick()), (TransientFailure, "fail".to_string()));
        // A weight again: at once, it is connected.
        host.resolve(WEIGHTED, "1 2").unwrap();
        assert_eq!(host.pick(), "1");
    }

    #[test]
    fn all_zero_is_a_clear_failure_and_the_last_good_list_stays() {
        let none = config(r#""10.0.0.1":0,"10.0.0.9":5"#);
        let mut host = Host::new(Default::default());
        host.channel.connect(host.now);
        host.actions();
        assert_eq!(host.resolve(&none, "1"), Err(ResolutionError::AllWeightsZero));
        assert_eq!((host.state(), host.pick()), (TransientFailure, "fail".to_string()));
        assert_eq!(host.pass(secs(1)), ["1000 resolve"]);
        host.resolve(WEIGHTED, "1").unwrap();
        host.actions();
        host.ready("1");
        assert_eq!(host.resolve(&none, "1*3"), Err(ResolutionError::AllWeightsZero));
        assert_eq!(host.resolve(WEIGHTED, "1*0 2*0"), Err(ResolutionError::AllWeightsZero));
        assert_eq!((host.state(), host.pick()), (Ready, "1".to_string()));
        assert_eq!(host.resolve(ROUND_ROBIN, "1*0 2*0"), Ok(()), "round_robin asks for no weights");
    }

    #[test]
    fn a_changed_weight_counts_from_the_next_pick() {
        let mut host = Host::with(WEIGHTED, "1 2");
        host.actions();
        host.ready("1");
        host.ready("2");
        host.count(100);
        host.resolve(WEIGHTED, "1*1 2*9").unwrap();
        assert_eq!(host.actions(), [""; 0]);
        let count = host.count(1000);
        close(&[count["1"], count["2"]], &[100, 900]);
    }
}
