//! pick_first: gRFC A62 (states, sticky TRANSIENT_FAILURE), A61 (Happy Eyeballs, lists), A113 (shuffling).

mod balancer_host;

use balancer_host::{Host, PICK_FIRST, ROUND_ROBIN, ms, secs};
use grpclb_core::balancer::{Config, Connectivity::*};

/// gRFC A61, "Happy Eyeballs in the pick_first LB Policy": the first pass.
mod a61_first_pass {
    use super::*;

    #[test]
    fn attempts_start_250_ms_apart_and_do_not_end_each_other() {
        let mut host = Host::with(PICK_FIRST, "1 2 3");
        assert_eq!(host.actions(), ["connect 1"]);
        assert_eq!(host.state(), Connecting);
        assert_eq!(host.pass(secs(1)), ["250 connect 2", "500 connect 3"]);
    }

    #[test]
    fn a_failure_starts_the_next_at_once() {
        let mut host = Host::with(PICK_FIRST, "1 2 3");
        host.actions();
        host.pass(ms(100));
        assert_eq!(host.failed("1"), ["connect 2"]);
        assert_eq!(host.pass(ms(249)), [""; 0]);
        assert_eq!(host.pass(ms(1)), ["1 connect 3"]);
    }

    #[test]
    fn a_failure_of_an_earlier_attempt_does_not() {
        let mut host = Host::with(PICK_FIRST, "1 2 3");
        host.actions();
        assert_eq!(host.pass(ms(300)), ["250 connect 2"]);
        assert_eq!(host.failed("1"), [""; 0]);
        assert_eq!(host.pass(secs(1)), ["200 connect 3"]);
    }

    #[test]
    fn the_first_that_is_ready_wins_and_the_others_are_closed() {
        let mut host = Host::with(PICK_FIRST, "1 2 3 4");
        host.actions();
        host.pass(ms(600));
        assert_eq!(host.ready("2"), ["close 1", "close 3"]);
        assert_eq!(host.state(), Ready);
        assert_eq!(host.picks(3), ["2", "2", "2"]);
        assert_eq!(host.pass(secs(300)), [""; 0]);
    }

    #[test]
    fn the_delay_is_kept_between_100_ms_and_2_s() {
        for (set, kept) in [(ms(1), 100), (ms(100), 100), (ms(300), 300), (secs(2), 2000), (secs(9), 2000)] {
            let mut host = Host::new(Config { happy_eyeballs_delay: set, ..Config::default() });
            host.channel.connect(host.now);
            host.resolve(PICK_FIRST, "1 2").unwrap();
            host.actions();
            assert_eq!(host.pass(secs(3)), [format!("{kept} connect 2")]);
        }
    }

    /// gRFC A61: "If the first attempt to connect to every address fails, …": TRANSIENT_FAILURE, re-resolution, and from
    /// then on all at once.
    #[test]
    fn over_when_each_address_failed_once() {
        let mut host = Host::with(PICK_FIRST, "1 2");
        host.actions();
        host.pass(ms(250));
        assert_eq!(host.failed("2"), [""; 0]);
        assert_eq!(host.state(), Connecting);
        assert_eq!(host.pick(), "queue");
        host.pass(ms(50));
        assert_eq!(host.failed("1"), ["resolve"]);
        assert_eq!(host.state(), TransientFailure);
        assert_eq!(host.pick(), "fail");
    }

    /// A backoff that ends within the pass does not put an address before those that were not attempted.
    #[test]
    fn one_that_failed_waits_for_the_end_of_the_pass() {
        let mut host = Host::with(PICK_FIRST, "1 2");
        host.actions();
        assert_eq!(host.failed("1"), ["connect 2"]);
        assert_eq!(host.pass(secs(10)), [""; 0]);
        // Its backoff is long over.
        assert_eq!(host.failed("2"), ["resolve", "connect 1"]);
    }
}

/// gRFC A61, after the first pass.
mod a61_after_the_first_pass {
    use super::*;

    #[test]
    fn each_address_has_its_own_backoff_and_no_order() {
        let mut host = Host::with(PICK_FIRST, "1 2");
        host.actions();
        host.pass(ms(100));
        host.failed("1");
        assert_eq!(host.failed("2"), ["resolve"]);
        assert_eq!(host.pass(ms(899)), [""; 0]);
        assert_eq!(host.pass(ms(1)), ["1 connect 1"]);
        assert_eq!(host.pass(ms(100)), ["100 connect 2"]);
        assert_eq!(host.state(), TransientFailure, "sticky");
    }

    #[test]
    fn as_many_failures_as_addresses_ask_for_a_resolution() {
        let mut host = Host::with(PICK_FIRST, "1 2");
        host.actions();
        host.failed("1");
        assert_eq!(host.failed("2"), ["resolve"]);
        host.pass(secs(1));
        assert_eq!(host.failed("1"), [""; 0]);
        assert_eq!(host.failed("2"), ["resolve"]);
        host.pass(secs(2));
        assert_eq!(host.failed("2"), [""; 0]);
        assert_eq!(host.failed("1"), ["resolve"]);
    }

    #[test]
    fn ready_at_last() {
        let mut host = Host::with(PICK_FIRST, "1 2");
        host.actions();
        host.failed("1");
        host.failed("2");
        host.pass(secs(1));
        assert_eq!(host.ready("2"), ["close 1"]);
        assert_eq!(host.state(), Ready);
        assert_eq!(host.pick(), "2");
    }
}

/// gRFC A62.
mod a62 {
    use super::*;

    #[test]
    fn a_lost_connection_means_idle_until_the_next_call() {
        let mut host = Host::with(PICK_FIRST, "1 2");
        host.actions();
        host.ready("1");
        assert_eq!(host.lost("1"), ["resolve"]);
        assert_eq!(host.state(), Idle);
        assert_eq!(host.pass(secs(100)), [""; 0]);
        assert_eq!(host.pick(), "queue");
        assert_eq!(host.state(), Connecting);
        assert_eq!(host.actions(), ["connect 1"], "from the front of the list again");
    }

    #[test]
    fn an_update_does_not_leave_transient_failure() {
        let mut host = Host::with(PICK_FIRST, "1");
        host.actions();
        host.failed("1");
        assert_eq!(host.state(), TransientFailure);
        host.resolve(PICK_FIRST, "2 3").unwrap();
        assert_eq!(host.actions(), ["connect 2"]);
        assert_eq!(host.state(), TransientFailure);
        host.ready("2");
        assert_eq!(host.state(), Ready);
    }

    #[test]
    fn a_resolver_that_answers_at_once_does_not_go_in_circles() {
        let mut host = Host::with(PICK_FIRST, "1 2");
        host.actions();
        host.failed("1");
        assert_eq!(host.failed("2"), ["resolve"]);
        for _ in 0..3 {
            host.resolve(PICK_FIRST, "1 2").unwrap();
            assert_eq!(host.actions(), [""; 0], "both are in backoff: nothing new is known");
        }
        assert_eq!(host.pass(secs(1)), ["1000 connect 1", "1000 connect 2"]);
    }
}

/// gRFC A61, "Address List Handling in pick_first".
mod a61_lists {
    use super::*;

    #[test]
    fn families_take_turns() {
        let mut host = Host::with(PICK_FIRST, "[::1]:1 [::2]:1 [::3]:1 1 2");
        assert_eq!(host.actions(), ["connect [::1]:1"]);
        let order = ["250 connect 1", "500 connect [::2]:1", "750 connect 2", "1000 connect [::3]:1"];
        assert_eq!(host.pass(secs(2)), order);
    }

    #[test]
    fn inside_an_endpoint_too() {
        let mut host = Host::with(ROUND_ROBIN, "[::1]:1,[::2]:1,1");
        assert_eq!(host.actions(), ["connect [::1]:1"]);
        assert_eq!(host.pass(ms(300)), ["250 connect 1"]);
    }

    #[test]
    fn mapped_addresses_are_ipv4_and_paths_a_family_of_their_own() {
        let mut host = Host::with(PICK_FIRST, "[::ffff:10.0.0.9]:1 1 unix:/a [::1]:1");
        assert_eq!(host.actions(), ["connect [::ffff:10.0.0.9]:1"]);
        assert_eq!(host.pass(secs(1)), ["250 connect unix:/a", "500 connect [::1]:1", "750 connect 1"]);
    }

    #[test]
    fn duplicates_count_once() {
        let mut host = Host::with(PICK_FIRST, "1 1 2,1 2");
        assert_eq!(host.channel.endpoint_count(), 2);
        host.actions();
        assert_eq!(host.pass(secs(1)), ["250 connect 2"]);
    }

    #[test]
    fn a_selected_address_that_stays_keeps_its_connection() {
        let mut host = Host::with(PICK_FIRST, "1 2");
        host.actions();
        host.ready("1");
        host.resolve(PICK_FIRST, "3 2 1").unwrap();
        assert_eq!(host.actions(), [""; 0]);
        assert_eq!(host.pick(), "1");
    }

    #[test]
    fn a_selected_address_that_goes_means_idle_and_a_resolution() {
        let mut host = Host::with(PICK_FIRST, "1 2");
        host.actions();
        host.ready("1");
        host.resolve(PICK_FIRST, "2 3").unwrap();
        assert_eq!(host.actions(), ["resolve", "close 1"]);
        assert_eq!(host.state(), Idle);
        assert_eq!(host.pick(), "queue");
        assert_eq!(host.actions(), ["connect 2"]);
    }

    #[test]
    fn an_update_in_the_middle_of_a_pass_begins_a_new_one() {
        let mut host = Host::with(PICK_FIRST, "1 2 3");
        host.actions();
        host.pass(ms(250));
        // 2 is CONNECTING still: as if it had just started.
        host.resolve(PICK_FIRST, "2 4").unwrap();
        assert_eq!(host.actions(), ["close 1"]);
        assert_eq!(host.pass(secs(1)), ["250 connect 4"]);
        assert_eq!(host.failed("2"), [""; 0]);
        assert_eq!(host.failed("4"), ["resolve"]);
        assert_eq!(host.state(), TransientFailure);
    }

    #[test]
    fn an_address_in_backoff_counts_as_attempted() {
        let mut host = Host::with(PICK_FIRST, "1 2");
        host.actions();
        assert_eq!(host.failed("1"), ["connect 2"]);
        host.resolve(PICK_FIRST, "1 3").unwrap();
        assert_eq!(host.actions(), ["close 2", "connect 3"]);
        assert_eq!(host.failed("3"), ["resolve"]);
    }
}

/// gRFC A62's `shuffleAddressList`, A113's weights.
mod shuffle {
    use super::*;

    const SHUFFLE: &str = r#"{"loadBalancingConfig":[{"pick_first":{"shuffleAddressList":true}}]}"#;

    fn first_of(seed: u64, endpoints: &str) -> Vec<String> {
        let mut host = Host::new(Config { seed, ..Config::default() });
        host.channel.connect(host.now);
        host.resolve(SHUFFLE, endpoints).unwrap();
        let mut order = host.actions();
        order.remove(0); // resolve
        order.extend(host.pass(secs(10)).iter().map(|a| a.split_once(' ').unwrap().1.to_string()));
        order
    }

    #[test]
    fn endpoints_not_addresses_of_one() {
        let mut firsts = std::collections::HashSet::new();
        for seed in 0..200 {
            let order = first_of(seed, "1,2 3,4 5");
            assert_eq!(order.len(), 5);
            let at = |a: &str| order.iter().position(|x| *x == format!("connect {a}")).unwrap();
            assert_eq!((at("2"), at("4")), (at("1") + 1, at("3") + 1), "{order:?}");
            firsts.insert(order);
        }
        assert_eq!(firsts.len(), 6, "all orders of three endpoints");
    }

    #[test]
    fn by_weight() {
        let n = 2000;
        let heavy = (0..n).filter(|seed| first_of(*seed, "1*1 2*9")[0] == "connect 2").count();
        assert!((1740..1860).contains(&heavy), "9 of 10 expected: {heavy}");
    }
}
