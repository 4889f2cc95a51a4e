//! Service configs: what is taken, and what a wrong one is told (gRFC A21: any known field that is wrong makes all wrong).

use grpclb_core::balancer::{MethodConfig, Policy, ServiceConfig};
use grpclb_core::time::Duration;

fn error(text: &str) -> String {
    match ServiceConfig::parse(text) {
        Ok(config) => panic!("{text} is taken: {config:?}"),
        Err(e) => e.display(text).to_string(),
    }
}

#[test]
fn policies() {
    for (text, policy) in [
        ("{}", Policy::PickFirst),
        (r#"{"loadBalancingPolicy":"round_robin"}"#, Policy::RoundRobin),
        (r#"{"loadBalancingPolicy":"ROUND_ROBIN"}"#, Policy::RoundRobin),
        (r#"{"loadBalancingPolicy":null,"loadBalancingConfig":null}"#, Policy::PickFirst),
        (r#"{"loadBalancingConfig":[{"pick_first":{}}]}"#, Policy::PickFirst),
        (
            r#"{"loadBalancingConfig":[{"xds":{"a":[1]}},{"round_robin":{}},{"pick_first":{}}]}"#,
            Policy::RoundRobin,
        ),
        (
            r#"{"loadBalancingConfig":[{"weighted_round_robin":{}},{"round_robin":{}}]}"#,
            Policy::WeightedRoundRobin,
        ),
        // The newer field goes first, wherever it stands.
        (
            r#"{"loadBalancingConfig":[{"round_robin":{}}],"loadBalancingPolicy":"pick_first"}"#,
            Policy::RoundRobin,
        ),
        (
            r#"{"loadBalancingPolicy":"pick_first","loadBalancingConfig":[{"round_robin":{}}]}"#,
            Policy::RoundRobin,
        ),
        // Unknown fields, whatever they are; names with escapes.
        (
            r#"{"x":{"y":[1,null,{}]},"x":1,"loadBalancing\u0050olicy":"round\u005frobin"}"#,
            Policy::RoundRobin,
        ),
        (
            r#"{"loadBalancingConfig":[{"weighted_round_robin":{"enableOobLoadReport":false,"blackoutPeriod":"10s",
               "weightUpdatePeriod":"0.1s","errorUtilizationPenalty":1.5,"weights":{"10.0.0.1:50051":1,"::1":0}}}]}"#,
            Policy::WeightedRoundRobin,
        ),
        (r#"{"loadBalancingConfig":[{"weighted_round_robin":{"weights":{}}}]}"#, Policy::WeightedRoundRobin),
        (r#"{"healthCheckConfig":{"serviceName":""},"retryThrottling":{"maxTokens":10}}"#, Policy::PickFirst),
    ] {
        assert_eq!(ServiceConfig::parse(text).map(|c| c.policy()), Ok(policy), "{text}");
    }
    let shuffle = r#"{"loadBalancingConfig":[{"pick_first":{"shuffleAddressList":true}}]}"#;
    assert!(ServiceConfig::parse(shuffle).unwrap().shuffle_address_list());
    assert!(!ServiceConfig::DEFAULT.shuffle_address_list());
}

const A_POLICY: &str = "a known policy: pick_first, round_robin or weighted_round_robin";
const SECONDS: &str = "seconds as a string, like \"1.5s\"";
const KEY: &str = "an address: `ip:port`, or `ip` for all its ports";

#[test]
fn a_wrong_config_names_the_path_and_what_was_expected() {
    for (text, path, expected) in [
        ("", "$", "an object"),
        ("[]", "$", "an object"),
        ("{", "$", "a name in quotes"),
        ("{} x", "$", "the end of the text"),
        (r#"{"loadBalancingPolicy":"fastest"}"#, "$.loadBalancingPolicy", A_POLICY),
        (r#"{"loadBalancingPolicy":7}"#, "$.loadBalancingPolicy", "the name of a policy"),
        (
            r#"{"loadBalancingPolicy":"round_robin","loadBalancingPolicy":"round_robin"}"#,
            "$.loadBalancingPolicy",
            "each name once",
        ),
        (r#"{"loadBalancingConfig":[]}"#, "$.loadBalancingConfig", A_POLICY),
        (r#"{"loadBalancingConfig":{}}"#, "$.loadBalancingConfig", "a list of policies"),
        (r#"{"loadBalancingConfig":[{"xds":{}},{"rls":{}}]}"#, "$.loadBalancingConfig", A_POLICY),
        (
            r#"{"loadBalancingConfig":["round_robin"]}"#,
            "$.loadBalancingConfig[0]",
            "an object with one policy",
        ),
        (r#"{"loadBalancingConfig":[{}]}"#, "$.loadBalancingConfig[0]", "an object with one policy"),
        (
            r#"{"loadBalancingConfig":[{"xds":{}},{"round_robin":{},"pick_first":{}}]}"#,
            "$.loadBalancingConfig[1].pick_first",
            "one policy in each object",
        ),
        (
            r#"{"loadBalancingConfig":[{"round_robin":[]}]}"#,
            "$.loadBalancingConfig[0].round_robin",
            "an object",
        ),
        (
            r#"{"loadBalancingConfig":[{"pick_first":{"shuffleAddressList":1}}]}"#,
            "$.loadBalancingConfig[0].pick_first.shuffleAddressList",
            "true or false",
        ),
        (r#"{"healthCheckConfig":{"serviceName":1}}"#, "$.healthCheckConfig.serviceName", "a string"),
        (r#"{"methodConfig":{}}"#, "$.methodConfig", "a list of method configs"),
        (
            r#"{"methodConfig":[{"name":[{"method":"M"}]}]}"#,
            "$.methodConfig[0].name[0]",
            "a service to go with the method",
        ),
        (
            r#"{"methodConfig":[{"name":[{"service":"S"}]},{"name":[{"service":"T"},{"service":"S","method":""}]}]}"#,
            "$.methodConfig[1].name[1]",
            "each method once in all of methodConfig",
        ),
        (r#"{"methodConfig":[{"timeout":1}]}"#, "$.methodConfig[0].timeout", SECONDS),
        (r#"{"methodConfig":[{"timeout":"1"}]}"#, "$.methodConfig[0].timeout", SECONDS),
        (r#"{"methodConfig":[{"timeout":"-1s"}]}"#, "$.methodConfig[0].timeout", SECONDS),
        (r#"{"methodConfig":[{"timeout":"1.s"}]}"#, "$.methodConfig[0].timeout", SECONDS),
        (r#"{"methodConfig":[{"timeout":"1.0000000001s"}]}"#, "$.methodConfig[0].timeout", SECONDS),
        (r#"{"methodConfig":[{"timeout":"315576000001s"}]}"#, "$.methodConfig[0].timeout", SECONDS),
        (r#"{"methodConfig":[{"waitForReady":"true"}]}"#, "$.methodConfig[0].waitForReady", "true or false"),
        (
            r#"{"methodConfig":[{"maxRequestMessageBytes":-1}]}"#,
            "$.methodConfig[0].maxRequestMessageBytes",
            "a number of octets from 0 to 4294967295",
        ),
    ] {
        assert_eq!(error(text), format!("{path}: expected {expected}"), "{text}");
    }
}

#[test]
fn wrong_weights() {
    let at = "$.loadBalancingConfig[0].weighted_round_robin.weights";
    let number = "a whole number from 0 to 4294967295";
    for (weights, path, expected) in [
        ("[]", "", "an object with a weight for each address"),
        (r#"{"10.0.0.1":-1}"#, r#"["10.0.0.1"]"#, number),
        (r#"{"10.0.0.1":1.5}"#, r#"["10.0.0.1"]"#, number),
        (r#"{"10.0.0.1":4294967296}"#, r#"["10.0.0.1"]"#, number),
        (r#"{"10.0.0.1":"4"}"#, r#"["10.0.0.1"]"#, number),
        (r#"{"10.0.0.1":null}"#, r#"["10.0.0.1"]"#, number),
        (r#"{"10.0.0.1:1":1,"greeter:50051":1}"#, r#"["greeter:50051"]"#, KEY),
        (r#"{"10.0.0.1:":1}"#, r#"["10.0.0.1:"]"#, KEY),
        (r#"{"10.0.0":1}"#, r#"["10.0.0"]"#, KEY),
        (r#"{"[::1":1}"#, r#"["[::1"]"#, KEY),
        (r#"{"":1}"#, r#"[""]"#, KEY),
        (r#"{"10.0.0.1":0,"10.0.0.2:1":0}"#, "", "at least one weight above 0"),
        (r#"{"10.0.0.1":1,"10.0.0.2":1,"10.0.0.1":2}"#, r#"["10.0.0.1"]"#, "each name once"),
        (r#"{"::1":1,"0:0::1":2}"#, r#"["0:0::1"]"#, "each name once"),
        (r#"{"10.0.0.1:80":1,"10.0.0.1\u003a80":2}"#, r#"["10.0.0.1\u003a80"]"#, "each name once"),
    ] {
        let text =
            format!(r#"{{"loadBalancingConfig":[{{"weighted_round_robin":{{"weights":{weights}}}}}]}}"#);
        assert_eq!(error(&text), format!("{at}{path}: expected {expected}"), "{text}");
    }
    for (field, value, expected) in [
        ("errorUtilizationPenalty", "-1", "a number, 0 or more"),
        ("errorUtilizationPenalty", "\"1\"", "a number, 0 or more"),
        ("enableOobLoadReport", "0", "true or false"),
        ("blackoutPeriod", "10", SECONDS),
    ] {
        let text = format!(r#"{{"loadBalancingConfig":[{{"weighted_round_robin":{{"{field}":{value}}}}}]}}"#);
        let path = format!("$.loadBalancingConfig[0].weighted_round_robin.{field}");
        assert_eq!(error(&text), format!("{path}: expected {expected}"));
    }
}

#[test]
fn many_weights_are_checked_for_duplicates_too() {
    let keys: Vec<String> = (0..5000).map(|i| format!("\"10.{}.{}.1\":1", i / 250, i % 250)).collect();
    let wrap = |keys: &str| {
        format!(r#"{{"loadBalancingConfig":[{{"weighted_round_robin":{{"weights":{{{keys}}}}}}}]}}"#)
    };
    assert!(ServiceConfig::parse(&wrap(&keys.join(","))).is_ok());
    let twice = wrap(&format!("{},{}", keys.join(","), keys[17]));
    assert!(error(&twice).ends_with(r#".weights["10.0.17.1"]: expected each name once"#));
}

/// gRFC A6's order: exact name, service, default.
#[test]
fn methods() {
    let text = r#"{"methodConfig":[
        {"name":[{"service":"p.S"}],"timeout":"1.5s"},
        {"name":[{"service":"p.S","method":"M"},{"service":"p.T","method":"M"}],"timeout":"0.000000001s","waitForReady":true,
         "maxRequestMessageBytes":0,"maxResponseMessageBytes":1024},
        {"name":[{"service":null,"method":""}],"waitForReady":false,"retryPolicy":{"maxAttempts":3}},
        {"name":[],"timeout":"7s"},
        {"timeout":"8s"}]}"#;
    let config = ServiceConfig::parse(text).unwrap();
    assert!(config.has_methods());
    let exact = MethodConfig {
        timeout: Some(Duration::from_nanos(1)),
        wait_for_ready: Some(true),
        max_request_message_bytes: Some(0),
        max_response_message_bytes: Some(1024),
    };
    let service = MethodConfig { timeout: Some(Duration::from_millis(1500)), ..MethodConfig::default() };
    let default = MethodConfig { wait_for_ready: Some(false), ..MethodConfig::default() };
    for (path, expected) in [
        ("/p.S/M", exact),
        ("/p.T/M", exact),
        ("/p.S/N", service),
        ("/p.T/N", default),
        ("/other/M", default),
        ("nonsense", default),
        ("", default),
    ] {
        assert_eq!(config.method(path), expected, "{path}");
    }
    assert_eq!(ServiceConfig::DEFAULT.method("/p.S/M"), MethodConfig::default());
}
