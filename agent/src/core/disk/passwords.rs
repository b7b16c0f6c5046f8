//! A password change: both passwords are kept until one is proven, and each is tried once at most.
//!
//! What it refuses to do: open the port as usual while it is not known which one is right, and try any a second time.

use taxdisk_protocol::class::DeviceClass;

use super::operate::{Stage, Work};
use super::{After, DiskCore, State};
use crate::core::Context;
use crate::core::effect::{Effect, Opened, Told, Trouble};
use crate::core::operation::{Heard, OperationIntent, OperationResult, Readings, What};
use crate::core::records::Record;

impl DiskCore {
    /// With a password change open: finds out which one is right before the port is opened as usual.
    pub(super) fn settle_password(&mut self, context: &Context<'_>) -> Option<Effect> {
        let intent = context.view.open_operation_at(&self.config.port)?;
        let What::ChangePassword { .. } = intent.what else { return None };
        if !intent.provable {
            // No reading carries it: one that is wrong would only cost a try.
            let result = unsettled_password(DeviceClass::BadPassword, "no reading of this device proves it");
            self.stop_unsettled(intent, result, context);
            return Some(self.next(context));
        }
        let effect = Effect::Try { id: intent.id.clone(), new: true };
        self.state = State::Operating(Work::found(intent, |intent| Stage::Trying { intent, new: true }));
        Some(effect)
    }

    /// The port is closed and opened with what is tried; a disk that came to another port answers to that port's passwords.
    pub(super) fn password_found_open(&mut self, intent: OperationIntent, context: &Context<'_>) -> Effect {
        if intent.port == self.config.port {
            self.reopen = true;
        } else {
            let result = unsettled_password(DeviceClass::NotPresent, "the disk is behind another port now");
            self.end_operation(intent, result, Readings::default(), (Vec::new(), After::default()), context);
        }
        self.next(context)
    }

    pub(super) fn on_password_heard(&mut self, intent: OperationIntent, heard: &Heard, context: &Context<'_>) {
        match heard {
            Heard::Clean => self.keep_password(intent, true, OperationResult::Done { read: false }),
            Heard::Doubt(doubt) if !intent.provable => {
                let result = unsettled_password(doubt.class, &doubt.text);
                self.stop_unsettled(intent, result, context);
            }
            // The port is opened anew, and that is where the two are tried.
            Heard::Doubt(_) => self.reopen = true,
        }
    }

    pub(super) fn keep_password(&mut self, intent: OperationIntent, new: bool, result: OperationResult) {
        self.pending = Some(Effect::Keep { id: intent.id.clone(), new });
        // If we stop before the outcome is durable, at the next start the kept one is tried first and found right.
        self.state = State::Operating(Work::found(intent, |intent| Stage::Keeping { intent, result }));
    }

    pub(super) fn on_tried(
        &mut self,
        intent: OperationIntent,
        new: bool,
        answer: Result<Box<Opened>, Trouble>,
        context: &Context<'_>,
    ) {
        match answer {
            Ok(opened) if opened.identity.disk != intent.disk => {
                self.on_opened(Ok(opened), context);
                let result = unsettled_password(DeviceClass::NotPresent, "another disk is behind the port now");
                self.stop_unsettled(intent, result, context);
            }
            Ok(opened) => {
                self.on_opened(Ok(opened), context);
                let result = if new {
                    OperationResult::Done { read: true }
                } else {
                    OperationResult::NotDone {
                        class: DeviceClass::BadPassword,
                        text: "the old password is still the right one".into(),
                    }
                };
                self.keep_password(intent, new, result);
            }
            Err(Trouble::Disk(error)) if error.class == DeviceClass::BadPassword && new => {
                self.pending = Some(Effect::Try { id: intent.id.clone(), new: false });
                self.state = State::Operating(Work::found(intent, |intent| Stage::Trying { intent, new: false }));
            }
            Err(Trouble::Disk(error)) if error.class == DeviceClass::BadPassword => {
                let result = unsettled_password(error.class, "neither the old nor the new one was accepted");
                self.stop_unsettled(intent, result, context);
            }
            // The port is not there, or the line failed. The next round goes on where this one was.
            Err(trouble) => self.on_opened(Err(trouble), context),
        }
    }

    pub(super) fn on_kept(
        &mut self,
        intent: OperationIntent,
        result: OperationResult,
        answer: Result<(), Trouble>,
        context: &Context<'_>,
    ) {
        match answer {
            Ok(()) => self.end_operation(intent, result, Readings::default(), (Vec::new(), After::default()), context),
            Err(trouble) => {
                let result = unsettled_password(trouble.class(), &trouble.text());
                self.stop_unsettled(intent, result, context);
            }
        }
    }

    /// Nothing that carries a password is sent any more until a person sets the right one.
    pub(super) fn stop_unsettled(&mut self, intent: OperationIntent, result: OperationResult, context: &Context<'_>) {
        let text = "a change of its password is unsettled: set the right one with `taxdisk-agent disks secret set`";
        let stop = Record::PasswordStop { port: self.config.port.clone(), text: text.to_owned() };
        self.password_stop = Some(text.to_owned());
        if self.opened.is_some() {
            self.report(context, true);
        } else {
            self.told.push_back(Told::Away { class: DeviceClass::BadPassword, text: text.to_owned() });
        }
        self.end_operation(intent, result, Readings::default(), (vec![stop], After::default()), context);
    }
}

fn unsettled_password(class: DeviceClass, text: &str) -> OperationResult {
    let advice = "both passwords are kept; set the right one with `taxdisk-agent disks secret set`";
    OperationResult::Unsettled { class, text: format!("{text}; {advice}") }
}
