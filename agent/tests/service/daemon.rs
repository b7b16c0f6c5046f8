//! `run --daemon`, for hosts without systemd. That it issues, and ends an open intent on SIGTERM: `end_to_end/daemon.rs`.

use rustix::process::{Pid, Signal, kill_process};

use crate::broker::Broker;
use crate::pc::{Pc, until};

const ARGS: [&str; 6] = ["run", "--daemon", "--pid-file", "agent.pid", "--log-file", "service.log"];

struct Service(Pc);

/// Ends what was started, however the test ends.
impl Drop for Service {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

impl Service {
    fn enrolled(broker: &Broker) -> Service {
        let pc = Pc::new("");
        pc.enrol(broker);
        Service(pc)
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(std::fs::read_to_string(self.0.path("agent.pid")).ok()?.trim().parse().ok()?)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.0.path("service.log")).unwrap_or_default()
    }
}

#[test]
fn the_starter_ends_well_only_when_the_service_is_ready() {
    let broker = Broker::start();
    let service = Service::enrolled(&broker);
    service.0.ends(0, &ARGS);
    // Nothing is waited for here: that is what the exit code promises.
    let pid = service.pid().unwrap();
    assert!(service.0.ends(0, &["status"]).contains(&format!("process {}", pid.as_raw_pid())));

    let second = service.0.ends(1, &ARGS);
    assert!(second.contains("running") && second.contains(&format!("process {}", pid.as_raw_pid())), "{second}");
    let other = Service::enrolled(&broker);
    std::fs::copy(other.0.path("agent.toml"), service.0.path("other.toml")).unwrap();
    let mut args = vec!["--config", "other.toml"];
    args.extend(ARGS);
    let text = service.0.ends(1, &args);
    assert!(text.contains("pid file") && text.contains(&format!("process {}", pid.as_raw_pid())), "{text}");

    kill_process(pid, Signal::TERM).unwrap();
    until("it has ended", || !service.0.path("agent.pid").exists());
    assert!(service.log().contains("the agent has stopped"), "{}", service.log());
}

#[test]
fn the_starter_tells_the_reason_of_a_service_that_does_not_become_ready() {
    let broker = Broker::start();
    let service = Service::enrolled(&broker);
    let mut args = ARGS.to_vec();
    args.extend(["--ready-file", "/nowhere/ready.json"]);
    let text = service.0.ends(78, &args);
    assert!(text.contains("/nowhere/ready.json cannot be written"), "{text}");
    assert!(service.log().contains("/nowhere/ready.json"), "the log has it too");
    // What it had taken is free again.
    service.0.ends(0, &ARGS);
}

#[test]
fn what_kill_9_leaves_behind_is_no_obstacle() {
    let broker = Broker::start();
    let service = Service::enrolled(&broker);
    service.0.ends(0, &ARGS);
    let first = service.pid().unwrap();
    kill_process(first, Signal::KILL).unwrap();
    assert!(service.0.path("agent.pid").exists(), "a killed process removes nothing");
    // Its locks go with it; a process that nobody has reaped yet is gone too.
    let stat = format!("/proc/{}/stat", first.as_raw_pid());
    until("the killed one is gone", || std::fs::read_to_string(&stat).map_or(true, |text| text.contains(") Z ")));
    service.0.ends(0, &ARGS);
    assert_ne!(service.pid().unwrap(), first);
}

#[test]
fn a_hang_up_opens_the_log_anew() {
    let broker = Broker::start();
    let service = Service::enrolled(&broker);
    service.0.ends(0, &ARGS);
    std::fs::rename(service.0.path("service.log"), service.0.path("service.log.1")).unwrap();
    kill_process(service.pid().unwrap(), Signal::HUP).unwrap();
    until("the new log is there", || service.log().contains("a new file"));
    kill_process(service.pid().unwrap(), Signal::TERM).unwrap();
    until("it has ended", || !service.0.path("agent.pid").exists());
    assert!(service.log().contains("the agent has stopped"));
    let old = std::fs::read_to_string(service.0.path("service.log.1")).unwrap();
    assert!(old.contains("the agent starts") && !old.contains("the agent has stopped"));
}
