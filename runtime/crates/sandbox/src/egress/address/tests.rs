use super::*;

fn class(text: &str) -> Class {
    classify(text.parse().expect(text))
}

#[test]
fn public_addresses_are_global() {
    for text in [
        "1.1.1.1",
        "8.8.8.8",
        "93.184.215.14",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.1",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.1",
        "192.0.3.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "168.63.129.15",
        "168.63.129.17",
        "::ffff:1.1.1.1",
        "64:ff9b::1.1.1.1",
        "2606:4700:4700::1111",
        "2001:4860:4860::8888",
        "2a00:1450:4001:80b::200e",
        "2001:200::1",
        "2001:db7::1",
        "2001:db9::1",
        "2003::1",
        "3ffd::1",
        "2606:4700::5efe:101:101",
    ] {
        assert_eq!(class(text), Class::Global, "{text}");
    }
}

#[test]
fn every_special_network_is_refused_from_its_first_to_its_last_address() {
    for (net, _) in SPECIAL_V4 {
        for address in [net.network(), net.broadcast()] {
            assert_ne!(classify(address.into()), Class::Global, "{address}");
            assert_ne!(classify(address.to_ipv6_mapped().into()), Class::Global, "mapped {address}");
        }
    }
    for (net, _) in SPECIAL_V6 {
        for address in [net.network(), net.broadcast()] {
            assert_ne!(classify(address.into()), Class::Global, "{address}");
        }
    }
}

#[test]
fn reasons_name_the_network() {
    for (text, reason) in [
        ("127.0.0.1", "this machine"),
        ("0.0.0.0", "this network"),
        ("10.1.2.3", "private"),
        ("172.31.0.1", "private"),
        ("192.168.1.1", "private"),
        ("100.64.0.1", "carrier"),
        ("169.254.1.1", "link-local"),
        ("192.0.2.1", "documentation"),
        ("198.19.255.255", "benchmarks"),
        ("224.0.0.1", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("::1", "this machine"),
        ("::", "unspecified"),
        ("fe80::1", "link-local"),
        ("fec0::1", "site-local"),
        ("fd12::1", "private"),
        ("ff02::1", "multicast"),
        ("2001:db8::1", "documentation"),
        ("3fff::1", "documentation"),
        ("2001:2::1", "benchmarks"),
        ("2002:101:101::1", "6to4"),
        ("2001:0:101:101::1", "Teredo"),
        ("::127.0.0.1", "IPv4-compatible"),
        ("::ffff:127.0.0.1", "this machine"),
        ("::ffff:0:127.0.0.1", "IPv4-translated"),
        ("64:ff9b::10.0.0.1", "NAT64"),
        ("64:ff9b:1::1", "translated"),
        ("100::1", "discarded"),
        ("5f00::1", "segment routing"),
        ("4000::1", "outside"),
        ("::2:0:0:1", "outside"),
        ("2606:4700::5efe:10.0.0.1", "ISATAP"),
        ("2606:4700::200:5efe:127.0.0.1", "ISATAP"),
    ] {
        let Class::Special(found) = class(text) else { panic!("{text}: {:?}", class(text)) };
        assert!(found.contains(reason), "{text}: {found}");
    }
}

/// Every way to write a metadata service's address inside another address.
const METADATA: &[&str] = &[
    "169.254.169.254",
    "169.254.169.253",
    "169.254.170.2",
    "169.254.170.23",
    "169.254.0.23",
    "169.254.42.42",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "::ffff:169.254.169.254",
    "::169.254.169.254",
    "::ffff:0:169.254.169.254",
    "64:ff9b::169.254.169.254",
    "64:ff9b::a83f:8110",
    "64:ff9b:1::169.254.169.254",
    "64:ff9b:1:a9fe:a9:fe00::",
    "64:ff9b:1:0:a9:fea9:fe00:0",
    "2002:a9fe:a9fe::1",
    "2001:0:a9fe:a9fe::1",
    "2001:0:101:101:0:0:5601:5601",
    "fe80::5efe:169.254.169.254",
    "2606:4700::200:5efe:169.254.169.254",
    "fe80::a9fe:a9fe",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "fd00:42::42",
];

#[test]
fn metadata_services_are_never_exempt_in_any_form() {
    let everything = AddressPolicy::new(
        ["0.0.0.0/0", "::/0", "169.254.0.0/16", "169.254.169.254/32"].map(|net| net.parse().expect(net)),
    );
    for text in METADATA {
        let refusal = everything.check(text.parse().expect(text)).expect_err(text);
        assert_eq!(refusal.class, Class::Metadata, "{text}");
        assert!(!refusal.to_string().contains("--egress-allow"), "{refusal}");
    }
}

#[test]
fn the_operator_exempts_networks() {
    let policy = AddressPolicy::new(
        ["10.0.0.0/8", "::ffff:192.168.0.0/112", "169.254.0.0/16", "fd00::/8"].map(|net| net.parse().expect(net)),
    );
    for (text, allowed) in [
        ("10.1.2.3", true),
        ("::ffff:10.1.2.3", true),
        ("192.168.7.7", true),
        ("192.169.0.1", true),
        ("169.254.1.1", true),
        ("fd12::1", true),
        ("11.0.0.1", true),
        ("127.0.0.1", false),
        ("172.16.0.1", false),
        ("64:ff9b::10.1.2.3", false),
        ("::10.1.2.3", false),
        ("fe80::1", false),
        ("0.0.0.0", false),
    ] {
        assert_eq!(policy.check(text.parse().expect(text)).is_ok(), allowed, "{text}");
    }
}

#[test]
fn a_refusal_says_what_the_operator_can_do() {
    let refusal = AddressPolicy::default().check("::ffff:10.0.0.5".parse().expect("parses")).expect_err("private");
    assert_eq!(
        refusal.to_string(),
        "10.0.0.5 is private (10.0.0.0/8, RFC 1918), and plugins may reach public addresses only. \
         If it is meant, the operator can start the server with --egress-allow 10.0.0.5/32"
    );
}

#[test]
fn ranges_say_how_much_of_them_is_a_metadata_service() {
    for (range, overlap) in [
        ("169.254.169.254/32", Overlap::Whole),
        ("169.254.169.0/24", Overlap::Whole),
        ("::ffff:169.254.169.254/128", Overlap::Whole),
        ("fd00:ec2::254/128", Overlap::Whole),
        ("169.254.0.0/16", Overlap::Part),
        ("0.0.0.0/0", Overlap::Part),
        ("fd00::/8", Overlap::Part),
        ("100.64.0.0/10", Overlap::Part),
        ("10.0.0.0/8", Overlap::None),
        ("127.0.0.1/32", Overlap::None),
    ] {
        assert_eq!(metadata_in(&range.parse().unwrap()), overlap, "{range}");
    }
}
