//! Properties of the parsers and of merging, over values at random.

use proptest::prelude::*;
use serde_json::json;

use super::{
    Problems, interpolate, merge,
    node::{Node, Place},
    short,
    trail::Trail,
};

fn fill(text: &str) -> Option<String> {
    let lookup = |name: &str| (name == "A").then(|| "value".to_owned());
    interpolate::text(text, &lookup, &mut |_| {}).ok().map(|o| o.text)
}

fn name() -> impl Strategy<Value = String> {
    "[a-z]{1,6}"
}

/// A small tree of JSON.
fn tree() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![Just(json!(null)), any::<bool>().prop_map(|b| json!(b)), any::<i32>().prop_map(|i| json!(i)), "[a-z $]{0,5}".prop_map(|s| json!(s))];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![prop::collection::vec(inner.clone(), 1..4).prop_map(|v| json!(v)), prop::collection::btree_map(name(), inner, 0..4).prop_map(|m| json!(m)),]
    })
}

fn mapping() -> impl Strategy<Value = serde_json::Value> {
    prop::collection::btree_map(name(), tree(), 0..5).prop_map(|m| json!(m))
}

fn laid(base: &serde_json::Value, over: &serde_json::Value) -> (serde_json::Value, usize) {
    let place = Place::default();
    let mut out = Node::from_json(base, &place);
    let mut problems = Problems::default();
    merge::merge(&mut out, Node::from_json(over, &place), &Trail::ROOT, false, &mut problems);
    (out.to_json(), problems.errors.len())
}

proptest! {
    #[test]
    fn a_doubled_dollar_is_one(text in "[a-zA-Z0-9 {}:?$-]{0,40}") {
        prop_assert_eq!(fill(&text.replace('$', "$$")), Some(text));
    }

    #[test]
    fn a_text_without_a_dollar_stays(text in "[^$]{0,60}") {
        prop_assert_eq!(fill(&text), Some(text));
    }

    #[test]
    fn defaults_nest(depth in 0usize..40, inner in "[a-z ]{0,8}") {
        let text = (0..depth).fold(inner.clone(), |t, _| format!("${{U:-{t}}}"));
        prop_assert_eq!(fill(&text), Some(inner));
    }

    #[test]
    fn interpolation_takes_any_text(text in any::<String>()) {
        let _ = fill(&text);
    }

    #[test]
    fn ports_are_read_as_they_are_written(ip in prop::option::of(any::<[u8; 4]>()), published in prop::option::of(1u16..), target in 1u16.., udp in any::<bool>()) {
        let ip = ip.map(|b| std::net::Ipv4Addr::from(b).to_string());
        let protocol = if udp { "udp" } else { "tcp" };
        let host = published.map(|p| p.to_string()).unwrap_or_default();
        let text = match (&ip, published) {
            (Some(ip), _) => format!("{ip}:{host}:{target}/{protocol}"),
            (None, Some(_)) => format!("{host}:{target}/{protocol}"),
            (None, None) => format!("{target}/{protocol}"),
        };
        let port = short::Port { ip: ip.unwrap_or_default(), published: host, target, protocol: protocol.to_owned() };
        prop_assert_eq!(short::port_parts(&text), Ok(vec![port]));
    }

    #[test]
    fn ranges_of_ports_become_as_many(first in 1u16..60_000, count in 0u16..50, host in 1u16..60_000) {
        let ports = short::port_parts(&format!("{host}-{}:{first}-{}", host + count, first + count)).unwrap();
        prop_assert_eq!(ports.len(), usize::from(count) + 1);
        for port in ports {
            prop_assert_eq!(u32::from(port.target - first) + u32::from(host), port.published.parse::<u32>().unwrap());
        }
    }

    #[test]
    fn volumes_are_read_as_they_are_written(source in "(\\./|/|~/)?[a-z]{2,8}", target in "/[a-z/]{1,12}", read_only in any::<bool>()) {
        let text = format!("{source}:{target}{}", if read_only { ":ro" } else { "" });
        let volume = short::volume_parts(&text).unwrap();
        prop_assert_eq!((volume.source, volume.target, volume.read_only), (source, target, read_only));
    }

    #[test]
    fn words_in_quotes_stay_whole(words in prop::collection::vec("[^'\\\\$()`]{0,10}", 0..6)) {
        let line = words.iter().map(|w| format!("'{w}'")).collect::<Vec<_>>().join(" ");
        prop_assert_eq!(short::words(&line), Some(words));
    }

    #[test]
    fn short_syntaxes_take_any_text(text in any::<String>()) {
        let _ = (short::port_parts(&text), short::volume_parts(&text), short::words(&text));
        let _ = (super::form::size(&text), super::form::duration(&text));
    }

    #[test]
    fn durations_are_read_as_they_are_written(nanos in 0u64..i64::MAX as u64) {
        let duration = std::time::Duration::from_nanos(nanos);
        prop_assert_eq!(super::form::duration(&crate::units::go_duration(duration)), Some(duration));
    }

    #[test]
    fn a_clean_path_is_clean(path in "[a-z./]{0,20}") {
        let once = short::clean(&path);
        prop_assert_eq!(short::clean(&once), once);
    }

    #[test]
    fn nothing_laid_over_changes_nothing(base in mapping()) {
        prop_assert_eq!(laid(&base, &json!({})), (base, 0));
    }

    #[test]
    fn laid_over_nothing_is_itself(over in mapping()) {
        prop_assert_eq!(laid(&json!({}), &over), (over, 0));
    }

    #[test]
    fn keys_of_both_are_there(base in mapping(), over in mapping()) {
        let (out, wrong) = laid(&base, &over);
        if wrong == 0 {
            for key in base.as_object().unwrap().keys().chain(over.as_object().unwrap().keys()) {
                prop_assert!(out.get(key).is_some());
            }
            prop_assert_eq!(out.as_object().unwrap().len(), base.as_object().unwrap().keys().chain(over.as_object().unwrap().keys()).collect::<std::collections::BTreeSet<_>>().len());
        }
    }

    #[test]
    fn lists_are_appended(a in prop::collection::vec(any::<i32>(), 1..5), b in prop::collection::vec(any::<i32>(), 1..5)) {
        let both: Vec<i32> = a.iter().chain(&b).copied().collect();
        prop_assert_eq!(laid(&json!({"x-l": a}), &json!({"x-l": b})), (json!({"x-l": both}), 0));
    }

    #[test]
    fn yaml_that_is_written_is_read(value in mapping()) {
        let text = crate::compose::write::yaml(&value);
        let read = super::yaml::parse("f", &text).unwrap();
        prop_assert_eq!(read[0].to_json(), value, "{}", text);
    }

    #[test]
    fn any_text_is_yaml_or_not(text in any::<String>()) {
        let _ = super::yaml::parse("f", &text);
    }

    #[test]
    fn texts_survive_yaml(text in any::<String>()) {
        prop_assume!(!text.chars().any(|c| matches!(c, '\u{fffe}' | '\u{ffff}')));
        let written = crate::compose::write::yaml(&json!({"k": text}));
        let read = super::yaml::parse("f", &written).unwrap();
        prop_assert_eq!(read[0].to_json(), json!({"k": text}), "{}", written);
    }

    #[test]
    fn files_of_variables_take_any_text(text in any::<String>()) {
        let _ = super::dotenv::parse(&text, &|_| None, &mut |_| {});
        let _ = super::dotenv::parse_raw(&text, &|_| None);
    }

    #[test]
    fn variables_in_single_quotes_stay(name in "[A-Z]{1,5}", value in "[^'\\\\\r\u{feff}]{0,20}") {
        let found = super::dotenv::parse(&format!("{name}='{value}'\n"), &|_| None, &mut |_| {}).unwrap();
        prop_assert_eq!(found.get(&name), Some(&value));
    }
}
