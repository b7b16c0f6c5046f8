//! The portal in front of broker, agent and simulated disk: an integrator written in another language.

use taxdisk_tests::portal::{ANY_PORT, HOOKS, PortalRig, agent, disk};
use taxdisk_tests::rig::Rig;

use super::figures::assert_documented;

#[test]
fn an_integrator_of_another_language_issues_queries_reverses_and_voids() {
    let rig = Rig::with_broker_config(HOOKS);
    let sim = disk(rig.path(), ANY_PORT);
    let mut agent = agent(&rig, &sim);
    agent.start(None);
    let number = sim.with(|rig| rig.disk.config().disk_number.clone());
    rig.wait_online(&number);
    let portal = PortalRig::with_config(&rig, "[log]\njson = true\nfilter = \"taxdisk_portal=debug,info\"\n");
    portal.set_up();
    let output = portal.script("integrator.py", &[]).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("done"), "{text}");
    let seen = assert_documented("portal", &std::fs::read_to_string(portal.dir.join("portal.log")).unwrap());
    assert!(seen.contains("tenant") || seen.contains("appid"), "its lines say who called: {seen:?}");
}
