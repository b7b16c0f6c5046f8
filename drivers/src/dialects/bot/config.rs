//! Settings of one disk behind the profile taxdisk-bot.

use std::time::Duration;

use crate::dialects::nisec::document::Issuing;
use crate::secret::Secret;

/// Time limits (device-xml-and-usb.md, C.4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timings {
    /// From the acceptance of a command to the first question for its answer.
    pub first_poll: Duration,
    /// Between further questions.
    pub poll: Duration,
    /// For the answer to a command.
    pub answer: Duration,
    /// For the answer to a command that goes over the disk's network: report, clear, offline allowance.
    pub network: Duration,
}

impl Default for Timings {
    fn default() -> Timings {
        Timings {
            first_poll: Duration::from_millis(20),
            poll: Duration::from_millis(100),
            answer: Duration::from_secs(30),
            network: Duration::from_secs(180),
        }
    }
}

/// The transfers of one command on the bus, each at its limit.
const TRANSFERS: Duration = Duration::from_secs(25);

impl Timings {
    /// The longest that one command can be waited for, and so run in the disk.
    pub fn longest_command(&self) -> Duration {
        self.network.max(self.answer) + TRANSFERS * 2
    }

    /// The longest that any call takes when the disk answers as slowly as it may: for the deadlines above.
    pub fn longest_call(&self) -> Duration {
        // An older command is waited for; then 02 after reopening, the stock before a blank void, and the command itself.
        self.network * 2 + self.answer * 2 + TRANSFERS * 6
    }
}

/// What the driver has to know about a disk that the disk does not tell.
#[derive(Debug, Clone)]
pub struct BotConfig {
    /// 税控盘口令 (skpkl): the disk's password, 1 to 8 characters.
    pub disk_password: Secret,
    /// 数字证书密码 (keypwd): the certificate's password, 1 to 8 characters.
    pub certificate_password: Secret,
    /// What invoices say besides their content.
    pub issuing: Issuing,
    /// 机器编号 (jqbh) of the short commands, up to 12 characters; may be empty.
    pub machine_number: String,
    /// The most lines of an invoice.
    pub max_lines: u16,
    /// Tokens up to this one were used before, as far as the computer remembers. The disk's own word counts if it is larger.
    pub token_floor: u32,
    /// Time limits.
    pub timings: Timings,
}

impl Default for BotConfig {
    fn default() -> BotConfig {
        BotConfig {
            disk_password: Secret::default(),
            certificate_password: Secret::default(),
            issuing: Issuing::default(),
            machine_number: String::new(),
            max_lines: 100,
            token_floor: 0,
            timings: Timings::default(),
        }
    }
}
