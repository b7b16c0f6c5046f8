//! Which addresses may be called. Pure: a rule over numbers.
//!
//! The rule is a list of what is allowed, not of what is not: of IPv6 only what is global unicast today. An IPv4 address inside
//! an IPv6 one (mapped, compatible, NAT64, 6to4) is judged as the IPv4 address that a gateway would make of it.
//!
//! Source: the IANA special-purpose registries for IPv4 and IPv6 (RFC 6890 and its successors).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Why an address is not called. `None`: it may be.
pub fn forbidden(address: IpAddr, allowed: &[IpNet]) -> Option<&'static str> {
    let (address, inner) = unfolded(address);
    let is_allowed = |address: IpAddr| allowed.iter().any(|network| network.contains(&address));
    if is_allowed(address) || inner.is_some_and(|inner| is_allowed(IpAddr::V4(inner))) {
        return None;
    }
    match (address, inner) {
        (IpAddr::V4(v4), _) => forbidden_v4(v4),
        (IpAddr::V6(_), Some(v4)) => forbidden_v4(v4),
        (IpAddr::V6(v6), None) => forbidden_v6(v6),
    }
}

/// The address itself (a mapped one as IPv4), and the IPv4 address that a gateway reads out of it.
fn unfolded(address: IpAddr) -> (IpAddr, Option<Ipv4Addr>) {
    let address = address.to_canonical();
    let IpAddr::V6(v6) = address else { return (address, None) };
    let parts = v6.segments();
    let low = Ipv4Addr::from_bits(v6.to_bits() as u32);
    let inner = match parts {
        // NAT64, the well-known prefix.
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Some(low),
        // IPv4-compatible: `::` and `::1` themselves are no addresses of a gateway.
        [0, 0, 0, 0, 0, 0, high, _] if high != 0 => Some(low),
        // 6to4.
        [0x2002, high, rest, ..] => Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(rest))),
        _ => None,
    };
    (address, inner)
}

fn forbidden_v4(address: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, _] = address.octets();
    Some(match (a, b, c) {
        (0, ..) => "this network",
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => "a private network",
        (100, 64..=127, _) => "a carrier's private network (CGNAT)",
        (127, ..) => "this machine (loopback)",
        (169, 254, _) => "link-local, where clouds keep their secrets",
        (192, 0, 0) | (192, 88, 99) | (198, 18..=19, _) => "a special network",
        (192, 0, 2) | (198, 51, 100) | (203, 0, 113) => "a network for documentation",
        (224..=239, ..) => "multicast",
        (240..=255, ..) => "reserved or broadcast",
        _ => return None,
    })
}

fn forbidden_v6(address: Ipv6Addr) -> Option<&'static str> {
    let parts = address.segments();
    Some(match parts {
        [0, 0, 0, 0, 0, 0, 0, 1] => "this machine (loopback)",
        [0, 0, 0, 0, 0, 0, 0, 0] => "this machine (unspecified)",
        [first, ..] if first & 0xfe00 == 0xfc00 => "a private network",
        [first, ..] if first & 0xff80 == 0xfe80 => "link-local or site-local",
        [first, ..] if first & 0xff00 == 0xff00 => "multicast",
        // Of the global unicast space: Teredo, ORCHID, benchmarking and the rest of the protocol assignments; documentation.
        [0x2001, second, ..] if second < 0x200 => "a special network",
        [0x2001, 0xdb8, ..] => "a network for documentation",
        [0x3fff, second, ..] if second < 0x1000 => "a network for documentation",
        [first, ..] if first & 0xe000 == 0x2000 => return None,
        _ => "not global unicast",
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn judged(text: &str, allowed: &[&str]) -> Option<&'static str> {
        let allowed: Vec<IpNet> = allowed.iter().map(|network| network.parse().unwrap()).collect();
        forbidden(text.parse().unwrap(), &allowed)
    }

    #[test]
    fn nothing_inside_is_called_in_any_spelling() {
        let inside = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
        ];
        for v4 in inside {
            assert!(judged(v4, &[]).is_some(), "{v4}");
            // Mapped, compatible, NAT64 and 6to4 forms of the same.
            for prefix in ["::ffff:", "64:ff9b::", "::"] {
                assert!(judged(&format!("{prefix}{v4}"), &[]).is_some(), "{prefix}{v4}");
            }
            let [a, b, c, d] = v4.parse::<Ipv4Addr>().unwrap().octets();
            assert!(judged(&format!("2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1"), &[]).is_some(), "6to4 of {v4}");
        }
        let v6 = [
            "::",
            "::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
            "100::1",
            "2001::1",
            "2001:20::1",
            "2001:db8::1",
            "3fff::1",
            "5f00::1",
            "64:ff9b:1::1",
            "4000::1",
            "::ffff:0:7f00:1",
        ];
        for address in v6 {
            assert!(judged(address, &[]).is_some(), "{address}");
        }
    }

    #[test]
    fn the_world_is_called() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2400:3200::1",
            "2a00::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
        ] {
            assert_eq!(judged(address, &[]), None, "{address}");
        }
    }

    #[test]
    fn only_what_is_allowed_by_name_is_opened() {
        assert_eq!(judged("10.1.2.3", &["10.1.0.0/16"]), None);
        assert_eq!(judged("::ffff:10.1.2.3", &["10.1.0.0/16"]), None);
        assert_eq!(judged("64:ff9b::a01:203", &["10.1.0.0/16"]), None);
        assert!(judged("10.2.0.1", &["10.1.0.0/16"]).is_some());
        assert!(judged("127.0.0.1", &["10.1.0.0/16", "::1/128"]).is_some());
        assert_eq!(judged("fd00::7", &["fd00::/8"]), None);
    }

    proptest! {
        /// Whatever gateway form an IPv4 address has, it is judged as that address.
        #[test]
        fn all_forms_are_judged_alike(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            let verdict = forbidden(IpAddr::V4(v4), &[]).is_some();
            let low = u128::from(bits);
            for high in [0xffff_u128 << 32, 0x64_ff9b_u128 << 96] {
                prop_assert_eq!(forbidden(IpAddr::V6(Ipv6Addr::from_bits(high | low)), &[]).is_some(), verdict);
            }
            let six_to_four = Ipv6Addr::from_bits(0x2002_u128 << 112 | low << 80 | 1);
            prop_assert_eq!(forbidden(IpAddr::V6(six_to_four), &[]).is_some(), verdict);
        }
    }
}
