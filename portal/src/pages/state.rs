//! What a consumer is told about a request. Truthful: issued is only what is proven issued, and failed only what is proven not.

use super::words::Lang;
use crate::core::reasons;
use crate::core::request::{Phase, Request};

/// A state in a consumer's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// No invoice exists, and only the merchant can change that.
    Merchant,
    /// Sent back by the merchant; no invoice exists.
    Returned,
    /// The disk cannot take it now; it will be issued later by itself. With an address: and sent.
    Offline { sent: bool },
    /// In line.
    Queued,
    /// The disk was asked; its answer is being read back.
    Checking,
    /// At the disk.
    Issuing,
    /// The invoice exists.
    Issued,
}

impl State {
    pub(super) fn of(request: &Request) -> State {
        match request.phase {
            Phase::Approval | Phase::Buyer | Phase::Failed => State::Merchant,
            Phase::Deleted => State::Returned,
            Phase::Forwarding | Phase::Queued => match &request.waiting {
                Some(why) if !why.starts_with(reasons::BACKLOG.zh) => {
                    State::Offline { sent: !request.delivery.emails.is_empty() || !request.delivery.phones.is_empty() }
                }
                _ => State::Queued,
            },
            Phase::Issuing => State::Issuing,
            Phase::Settling => State::Checking,
            Phase::Issued => State::Issued,
            // A plan is what its parts are.
            Phase::Plan => State::Queued,
        }
    }

    /// Of several invoices of one sale: the one that is least far.
    pub(super) fn of_all(parts: &[Request]) -> State {
        parts.iter().map(State::of).min().unwrap_or(State::Queued)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            State::Merchant => "merchant",
            State::Returned => "returned",
            State::Offline { .. } => "offline",
            State::Queued => "queued",
            State::Checking => "checking",
            State::Issuing => "issuing",
            State::Issued => "issued",
        }
    }

    pub(super) fn title(self, lang: Lang) -> &'static str {
        lang.text(match self {
            State::Merchant => "state_merchant",
            State::Returned => "state_returned",
            State::Offline { .. } => "state_offline",
            State::Queued => "state_queued",
            State::Checking => "state_checking",
            State::Issuing => "state_issuing",
            State::Issued => "state_issued",
        })
    }

    pub(super) fn more(self, lang: Lang) -> &'static str {
        lang.text(match self {
            State::Merchant => "state_merchant_more",
            State::Returned => "state_returned_more",
            State::Offline { sent: true } => "state_offline_more",
            State::Offline { sent: false } => "state_offline_wait",
            State::Queued => "state_queued_more",
            State::Checking => "state_checking_more",
            State::Issuing => "state_issuing_more",
            State::Issued => "state_issued_more",
        })
    }

    pub(super) fn class(self) -> &'static str {
        match self {
            State::Issued => "good",
            State::Merchant | State::Returned => "",
            _ => "wait",
        }
    }

    pub(super) fn is_issued(self) -> bool {
        self == State::Issued
    }

    /// The page need not look again by itself.
    pub(super) fn is_settled(self) -> bool {
        matches!(self, State::Issued | State::Returned)
    }
}
