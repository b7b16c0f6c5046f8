//! People of the console: what is bounded, and what ends with what.

use taxdisk_web::signin::lockout::{FORGOTTEN_MS, Whose};
use taxdisk_web::signin::session::{IDLE_MS, Session};

use super::*;
use crate::core::people::{Act, ConsoleRole, is_name};

fn act(world: &mut World, act: Act) -> Result<Reply, Refusal> {
    world.input(Input::People(Box::new(act), "test".to_owned()))
}

fn add(world: &mut World, name: &str, role: ConsoleRole) -> Result<Reply, Refusal> {
    act(world, Act::Add { name: name.to_owned(), role })
}

fn session(world: &World, account: &str, hash: &str) -> Session {
    Session { hash: hash.to_owned(), account: account.to_owned(), created_at: world.now.0, seen_at: world.now.0 }
}

fn begin(world: &mut World, account: &str, hash: &str) -> Result<Reply, Refusal> {
    let session = session(world, account, hash);
    act(world, Act::BeginSession(session))
}

fn is_open(world: &World, hash: &str) -> bool {
    world.core.console_session(hash).is_some()
}

fn invite(world: &mut World, name: &str, hash: &str) -> Result<Reply, Refusal> {
    let expires_at = world.now.plus_s(3600);
    act(world, Act::Invite { name: name.to_owned(), hash: hash.to_owned(), expires_at })
}

fn set(world: &mut World, name: &str, link: Option<&str>) -> bool {
    let asked = Act::SetPassword { name: name.to_owned(), stored: "$hash".to_owned(), link: link.map(str::to_owned) };
    matches!(act(world, asked), Ok(Reply::Held(true)))
}

/// May this one try now? It is counted if he may.
fn tries(world: &mut World, whose: &[(Whose, &str)]) -> bool {
    let whose = whose.iter().map(|(kind, name)| (*kind, (*name).to_owned())).collect();
    matches!(act(world, Act::Attempt(whose)), Ok(Reply::Wait(Ok(()))))
}

/// Names and addresses whose attempts are stored.
fn counted(world: &World) -> usize {
    world.sign_ins.keys().filter(|(what, _)| *what == "failures").count()
}

fn shut_out(world: &mut World, name: &str, out: bool) -> Result<Reply, Refusal> {
    act(world, Act::ShutOut { name: name.to_owned(), out })
}

#[test]
fn a_person_has_sixteen_sessions_and_the_one_that_rests_longest_goes_for_a_new_one() {
    let mut world = World::new();
    for name in ["anna", "bert"] {
        add(&mut world, name, ConsoleRole::Administrator).unwrap();
    }
    begin(&mut world, "bert", "of bert").unwrap();
    for n in 0..16 {
        world.now = world.now.plus_ms(1);
        begin(&mut world, "anna", &format!("s{n}")).unwrap();
    }
    world.now = world.now.plus_ms(1);
    let touched = session(&world, "anna", "s0");
    act(&mut world, Act::TouchSession(touched)).unwrap();
    begin(&mut world, "anna", "s16").unwrap();
    assert!(is_open(&world, "s0") && !is_open(&world, "s1") && is_open(&world, "s2") && is_open(&world, "s16"));
    assert!(is_open(&world, "of bert"), "nobody pays for another");
    // What has ended stays ended, whoever still has it in his hand.
    let late = session(&world, "anna", "s1");
    act(&mut world, Act::TouchSession(late)).unwrap();
    assert!(!is_open(&world, "s1"));
    world.now = world.now.plus_ms(IDLE_MS);
    begin(&mut world, "bert", "another").unwrap();
    assert!(!is_open(&world, "s16") && !is_open(&world, "of bert"), "those that rested are forgotten");
}

#[test]
fn all_people_together_have_four_thousand_sessions() {
    let mut world = World::new();
    for n in 0..257 {
        add(&mut world, &format!("p{n}"), ConsoleRole::Viewer).unwrap();
    }
    for n in 0..4096 {
        begin(&mut world, &format!("p{}", n / 16), &format!("s{n}")).unwrap();
    }
    let touched = Session { seen_at: world.now.0 + 1, ..session(&world, "p1", "s16") };
    for n in 0..16 {
        act(&mut world, Act::TouchSession(Session { hash: format!("s{n}"), ..touched.clone() })).unwrap();
    }
    begin(&mut world, "p256", "one more").unwrap();
    let open = (0..4096).filter(|n| is_open(&world, &format!("s{n}"))).count();
    assert_eq!((open, is_open(&world, "one more")), (4095, true));
    assert!((0..16).all(|n| is_open(&world, &format!("s{n}"))), "one that rests goes first");
}

#[test]
fn who_is_shut_out_has_neither_session_nor_link_and_gets_none() {
    let mut world = World::new();
    for name in ["anna", "bert"] {
        add(&mut world, name, ConsoleRole::Administrator).unwrap();
    }
    begin(&mut world, "bert", "s").unwrap();
    invite(&mut world, "bert", "link").unwrap();
    shut_out(&mut world, "bert", true).unwrap();
    assert!(!is_open(&world, "s") && world.core.invited("link", world.now).is_none());
    assert_eq!(begin(&mut world, "bert", "s2").unwrap_err().code, "not_found", "his password was being checked meanwhile");
    assert!(!set(&mut world, "bert", Some("link")) && !set(&mut world, "bert", None));
    invite(&mut world, "bert", "later").unwrap();
    assert_eq!(world.core.invited("later", world.now), None);
    assert!(!set(&mut world, "bert", Some("later")), "a link of now is none either");
    shut_out(&mut world, "bert", false).unwrap();
    assert!(!is_open(&world, "s"), "let in again, he signs in again");
}

#[test]
fn a_link_is_of_one_person_and_works_once_before_its_time_is_over() {
    let mut world = World::new();
    for name in ["anna", "bert"] {
        add(&mut world, name, ConsoleRole::Administrator).unwrap();
    }
    assert_eq!(invite(&mut world, "nobody", "n").unwrap_err().code, "not_found");
    invite(&mut world, "anna", "old").unwrap();
    invite(&mut world, "anna", "new").unwrap();
    assert!(!set(&mut world, "anna", Some("old")) && !set(&mut world, "bert", Some("new")));
    begin(&mut world, "anna", "s").unwrap();
    assert!(set(&mut world, "anna", Some("new")));
    assert!(!is_open(&world, "s"), "a new password ends what the old one opened");
    assert!(!set(&mut world, "anna", Some("new")), "once");
    invite(&mut world, "anna", "late").unwrap();
    invite(&mut world, "anna", "later").unwrap();
    set(&mut world, "anna", None);
    assert_eq!(world.core.invited("later", world.now), None, "a password that he set himself ends his links");
    invite(&mut world, "anna", "last").unwrap();
    world.now = world.now.plus_s(3600);
    assert!(world.core.invited("last", world.now).is_none() && !set(&mut world, "anna", Some("last")));
}

#[test]
fn the_last_administrator_stays_one() {
    let mut world = World::new();
    add(&mut world, "anna", ConsoleRole::Administrator).unwrap();
    add(&mut world, "bert", ConsoleRole::Administrator).unwrap();
    assert_eq!(add(&mut world, "bert", ConsoleRole::Viewer).unwrap_err().code, "conflict", "whoever is there keeps his role");
    let viewer = |name: &str| Act::SetRole { name: name.to_owned(), role: ConsoleRole::Viewer };
    shut_out(&mut world, "bert", true).unwrap();
    assert_eq!(act(&mut world, viewer("anna")).unwrap_err().code, "conflict", "who is shut out is no help");
    assert_eq!(shut_out(&mut world, "anna", true).unwrap_err().code, "conflict");
    shut_out(&mut world, "bert", false).unwrap();
    act(&mut world, viewer("anna")).unwrap();
    assert_eq!(shut_out(&mut world, "bert", true).unwrap_err().code, "conflict");
}

#[test]
fn names_are_plain_and_a_thousand_people_are_kept() {
    let mut world = World::new();
    for bad in ["", "Anna", "an na", "anna/b", "\u{e4}nna", &"a".repeat(41)] {
        assert_eq!(add(&mut world, bad, ConsoleRole::Viewer).unwrap_err().code, "invalid_parameter", "{bad:?}");
    }
    assert!(is_name(&"a".repeat(40)) && is_name("anna-1.b_c"));
    for n in 0..1000 {
        add(&mut world, &format!("p{n}"), ConsoleRole::Viewer).unwrap();
    }
    assert_eq!(add(&mut world, "one-more", ConsoleRole::Viewer).unwrap_err().code, "invalid_parameter");
}

#[test]
fn an_attempt_counts_for_all_or_for_none_and_strangers_push_out_no_count_of_a_known_person() {
    let mut world = World::new();
    add(&mut world, "anna", ConsoleRole::Administrator).unwrap();
    let own = [(Whose::Account, "account anna")];
    for _ in 0..5 {
        assert!(tries(&mut world, &own));
    }
    assert!(!tries(&mut world, &own), "five are free");
    // The address is not counted for an attempt that was not made.
    let both = [(Whose::Address, "address a"), (Whose::Account, "account anna")];
    for _ in 0..40 {
        assert!(!tries(&mut world, &both));
    }
    assert!(tries(&mut world, &[(Whose::Address, "address a")]));
    for thousand in 0..10 {
        let names: Vec<String> = (0..1000).map(|n| format!("address {thousand}.{n}")).collect();
        let whose: Vec<(Whose, &str)> = names.iter().map(|name| (Whose::Address, name.as_str())).collect();
        assert!(tries(&mut world, &whose));
    }
    world.now = world.now.plus_ms(1);
    for n in 0..100 {
        let name = format!("address of late {n}");
        assert!(tries(&mut world, &[(Whose::Address, &name)]));
    }
    assert!(!tries(&mut world, &own), "whatever strangers do");
    assert!(counted(&world) <= 10_001, "{} are stored", counted(&world));
    let is_kept = |name: &str| world.sign_ins.contains_key(&("failures", name.to_owned()));
    assert!((0..100).all(|n| is_kept(&format!("address of late {n}"))), "the oldest go first");
    act(&mut world, Act::Forgive { account: "account anna".to_owned(), address: None }).unwrap();
    assert!(tries(&mut world, &own));
    world.now = world.now.plus_ms(FORGOTTEN_MS);
    tries(&mut world, &[(Whose::Address, "address z")]);
    assert_eq!(counted(&world), 1, "a day later it is forgotten");
}

#[test]
fn people_sessions_and_waits_outlive_a_restart() {
    let mut world = World::new();
    add(&mut world, "anna", ConsoleRole::Administrator).unwrap();
    begin(&mut world, "anna", "s").unwrap();
    invite(&mut world, "anna", "link").unwrap();
    let own = [(Whose::Account, "account anna")];
    while tries(&mut world, &own) {}
    world.restart(Settings::default());
    assert!(is_open(&world, "s") && world.core.invited("link", world.now).is_some());
    assert_eq!(world.core.user("anna").unwrap().role, ConsoleRole::Administrator);
    assert!(!tries(&mut world, &own), "a restart is no pardon");
}
