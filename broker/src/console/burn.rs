//! The burn-down of a disk's stock, drawn here: what was left in the last day, and how long it lasts at that rate.
//!
//! What the broker keeps is how many were issued in each hour since it began, so the past is reckoned back from what is left
//! now. New stock that was read in meanwhile is not in it, and the page says so. Everything that the picture shows stands beside
//! it in words and in a table.

use taxdisk_protocol::time::Timestamp;

use super::shell::Shell;
use super::words;
use crate::ledger::BurnDown;

const HOUR_MS: i64 = 3_600_000;
/// What is shown before and after now.
const SPAN_MS: i64 = 24 * HOUR_MS;
/// Size of a picture, tenths of a unit. On a telephone a unit is about a pixel, so that its texts can be read there.
const WIDTH: i64 = 3600;
const HEIGHT: i64 = 1600;
/// Around the lines, tenths of a unit: room for the texts above and below.
const SIDE: i64 = 60;
const ABOVE: i64 = 220;
const BELOW: i64 = 220;

/// An hour of the table.
pub(super) struct Hour {
    pub(super) at: String,
    pub(super) issued: u32,
    /// Left at its end.
    pub(super) left: u64,
}

/// The burn-down of one kind.
pub(super) struct Plot {
    pub(super) kind: String,
    /// What the picture says, in a sentence.
    pub(super) summary: String,
    pub(super) width: String,
    pub(super) height: String,
    /// Corners of the line of the past: `x,y x,y`.
    pub(super) past: String,
    /// Corners of the line to come; empty where nobody can say.
    pub(super) future: String,
    /// Where now is, and the line of zero.
    pub(super) now_x: String,
    pub(super) zero_y: String,
    pub(super) text_y: String,
    /// What the top of the picture stands for.
    pub(super) most: u64,
    /// Counted since; empty: nothing was counted, and there is no picture.
    pub(super) since: String,
    pub(super) hours: Vec<Hour>,
}

/// Tenths of a unit, as a picture has them.
fn number(tenths: i64) -> String {
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// How much was left when each hour began and ended, oldest first, and when the line begins.
fn levels(burn: &BurnDown, since: Timestamp, now: Timestamp) -> Vec<(Timestamp, u64)> {
    let issued: u64 = burn.hours.iter().map(|(_, count)| u64::from(*count)).sum();
    let mut left = u64::from(burn.left) + issued;
    let begin = Timestamp(since.0.max(now.0 - SPAN_MS));
    let mut levels = vec![(begin, left)];
    for (hour, count) in &burn.hours {
        levels.push((Timestamp(hour.0.max(begin.0)), left));
        left -= u64::from(*count);
        levels.push((Timestamp((hour.0 + HOUR_MS).min(now.0)), left));
    }
    levels.push((now, left));
    levels
}

/// Where the line to come ends: at nothing, or at the edge of the picture.
fn forecast(burn: &BurnDown, now: Timestamp) -> Option<(Timestamp, u64)> {
    let lasts_ms = burn.out?.since_ms(now).max(0);
    if lasts_ms <= SPAN_MS {
        return Some((now.plus_ms(lasts_ms), 0));
    }
    let left = u64::from(burn.left);
    // No overflow: 32 bits of invoices and 27 of milliseconds.
    Some((now.plus_ms(SPAN_MS), left - left * SPAN_MS.unsigned_abs() / lasts_ms.unsigned_abs()))
}

pub(super) fn plot(shell: &Shell, burn: &BurnDown, now: Timestamp) -> Plot {
    let levels = burn.since.map(|since| levels(burn, since, now)).unwrap_or_default();
    let most = levels.iter().map(|(_, left)| *left).max().unwrap_or_default().max(1);
    let x = |at: Timestamp| SIDE + (at.since_ms(now) + SPAN_MS) * (WIDTH - 2 * SIDE) / (2 * SPAN_MS);
    let room = (HEIGHT - ABOVE - BELOW).unsigned_abs();
    let y = |left: u64| ABOVE + ((most - left.min(most)) * room / most).cast_signed();
    let corner = |(at, left): (Timestamp, u64)| format!("{},{}", number(x(at)), number(y(left)));
    let past: Vec<String> = levels.iter().copied().map(corner).collect();
    let future = burn.since.and_then(|_| forecast(burn, now));
    let future = future.map(|end| format!("{} {}", corner((now, u64::from(burn.left))), corner(end)));
    let issued: u64 = burn.hours.iter().map(|(_, count)| u64::from(*count)).sum();
    let out = burn.out.map_or_else(|| shell.t("burn_nobody_knows").to_owned(), words::time);
    let mut left = u64::from(burn.left) + issued;
    let hours = burn.hours.iter().map(|(at, count)| {
        left -= u64::from(*count);
        Hour { at: words::time(*at), issued: *count, left }
    });
    Plot {
        kind: burn.kind.to_string(),
        summary: format!(
            "{} {}: {} {}; {} {issued}; {} {out}",
            shell.t("kind"),
            burn.kind,
            shell.t("stock_left"),
            burn.left,
            shell.t("burn_issued"),
            shell.t("burn_out"),
        ),
        width: number(WIDTH),
        height: number(HEIGHT),
        past: past.join(" "),
        future: future.unwrap_or_default(),
        now_x: number(x(now)),
        zero_y: number(y(0)),
        text_y: number(HEIGHT - 40),
        most,
        since: burn.since.map(words::time).unwrap_or_default(),
        hours: hours.collect(),
    }
}

#[cfg(test)]
mod tests {
    use taxdisk_protocol::kind::InvoiceKind;

    use super::*;

    fn burn(left: u32, hours: &[(i64, u32)], out: Option<Timestamp>) -> BurnDown {
        let hours: Vec<_> = hours.iter().map(|(hour, count)| (Timestamp(hour * HOUR_MS), *count)).collect();
        let since = hours.first().map(|(at, _)| *at);
        BurnDown { kind: InvoiceKind::Roll, left, hours, since, out }
    }

    #[test]
    fn the_past_is_reckoned_back_from_what_is_left() {
        let now = Timestamp(100 * HOUR_MS + HOUR_MS / 2);
        let known = burn(40, &[(90, 50), (100, 10)], None);
        let levels = levels(&known, known.since.unwrap_or(now), now);
        let hour = |hour: i64| Timestamp(hour * HOUR_MS);
        let expected = [(hour(90), 100), (hour(90), 100), (hour(91), 50), (hour(100), 50), (now, 40), (now, 40)];
        assert_eq!(levels, expected);
        // An hour that began before the picture does is cut off, not drawn outside of it.
        let early = burn(1, &[(76, 3)], None);
        assert!(super::levels(&early, hour(1), now).iter().all(|(at, _)| now.since_ms(*at) <= SPAN_MS));
    }

    #[test]
    fn the_line_to_come_ends_at_nothing_or_at_the_edge() {
        let now = Timestamp(100 * HOUR_MS);
        assert_eq!(forecast(&burn(40, &[(99, 3)], None), now), None);
        let soon = now.plus_ms(SPAN_MS / 2);
        assert_eq!(forecast(&burn(40, &[(99, 3)], Some(soon)), now), Some((soon, 0)));
        let late = now.plus_ms(SPAN_MS * 4);
        assert_eq!(forecast(&burn(40, &[(99, 3)], Some(late)), now), Some((now.plus_ms(SPAN_MS), 30)));
    }
}
