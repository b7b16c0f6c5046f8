//! 大写: an amount in the capital numerals that cannot be altered with a pen (正确填写票据和结算凭证的基本规定).

use taxdisk_protocol::money::Amount;

const DIGITS: [char; 10] = ['零', '壹', '贰', '叁', '肆', '伍', '陆', '柒', '捌', '玖'];
/// Within a group of four, from the right.
const PLACES: [&str; 4] = ["", "拾", "佰", "仟"];
/// Groups of four, from the right. An amount has 11 digits before the point at most.
const GROUPS: [&str; 3] = ["", "万", "亿"];

/// The amount in capitals: `壹仟零壹拾柒圆整`, `（负数）壹佰圆伍角整`, `零圆整`.
///
/// Zeros between two digits are one 零, however many they are and across 万 and 亿; zeros at the end of the whole yuan are none.
/// After a whole yuan, or 角 without 分, stands 整. Fen without jiao have a 零 before them where yuan precede.
pub fn capitals(amount: Amount) -> String {
    let fen = amount.fen().unsigned_abs();
    let (yuan, jiao, fen) = (fen / 100, fen / 10 % 10, fen % 10);
    let mut text = String::new();
    if amount.fen() < 0 {
        text.push_str("（负数）");
    }
    if yuan > 0 || (jiao == 0 && fen == 0) {
        text.push_str(&whole(yuan));
        text.push('圆');
    }
    match (jiao, fen) {
        (0, 0) => text.push('整'),
        (jiao, 0) => {
            text.push(digit(jiao));
            text.push_str("角整");
        }
        (jiao, fen) => {
            if jiao > 0 {
                text.push(digit(jiao));
                text.push('角');
            } else if yuan > 0 {
                text.push('零');
            }
            text.push(digit(fen));
            text.push('分');
        }
    }
    text
}

fn digit(value: u64) -> char {
    // Callers give one decimal digit.
    DIGITS[(value % 10) as usize]
}

/// Whole yuan.
fn whole(yuan: u64) -> String {
    if yuan == 0 {
        return "零".to_owned();
    }
    let mut text = String::new();
    // A zero was passed since the last digit written, and is due before the next one.
    let mut zero = false;
    for (group, name) in GROUPS.iter().enumerate().rev() {
        let four = yuan / 10_000_u64.pow(group as u32) % 10_000;
        for (place, unit) in PLACES.iter().enumerate().rev() {
            let value = four / 10_u64.pow(place as u32) % 10;
            if value == 0 {
                zero = !text.is_empty();
                continue;
            }
            if zero {
                text.push('零');
                zero = false;
            }
            text.push(digit(value));
            text.push_str(unit);
        }
        if four > 0 {
            text.push_str(name);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(fen: i64) -> String {
        capitals(Amount::from_fen(fen).expect("in range"))
    }

    #[test]
    fn amounts_read_as_a_bank_writes_them() {
        for (fen, text) in [
            (0, "零圆整"),
            (1, "壹分"),
            (5, "伍分"),
            (10, "壹角整"),
            (50, "伍角整"),
            (99, "玖角玖分"),
            (100, "壹圆整"),
            (101, "壹圆零壹分"),
            (110, "壹圆壹角整"),
            (123, "壹圆贰角叁分"),
            (1000, "壹拾圆整"),
            (1005, "壹拾圆零伍分"),
            (1050, "壹拾圆伍角整"),
            (1_100, "壹拾壹圆整"),
            (10_000, "壹佰圆整"),
            (10_100, "壹佰零壹圆整"),
            (11_000, "壹佰壹拾圆整"),
            (22_600, "贰佰贰拾陆圆整"),
            (100_000, "壹仟圆整"),
            (100_100, "壹仟零壹圆整"),
            (101_000, "壹仟零壹拾圆整"),
            (101_700, "壹仟零壹拾柒圆整"),
            (110_000, "壹仟壹佰圆整"),
            (168_032, "壹仟陆佰捌拾圆叁角贰分"),
            (1_000_000, "壹万圆整"),
            (1_000_100, "壹万零壹圆整"),
            (1_001_000, "壹万零壹拾圆整"),
            (1_010_000, "壹万零壹佰圆整"),
            (1_100_000, "壹万壹仟圆整"),
            (10_000_000, "壹拾万圆整"),
            (10_700_053, "壹拾万零柒仟圆伍角叁分"),
            (10_070_000, "壹拾万零柒佰圆整"),
            (100_000_000, "壹佰万圆整"),
            (101_000_000, "壹佰零壹万圆整"),
            (1_000_000_000, "壹仟万圆整"),
            (1_000_000_001, "壹仟万圆零壹分"),
            (1_000_100_000, "壹仟万零壹仟圆整"),
            (10_000_000_000, "壹亿圆整"),
            (10_000_000_100, "壹亿零壹圆整"),
            (10_000_200_000, "壹亿零贰仟圆整"),
            (10_001_000_000, "壹亿零壹万圆整"),
            (10_010_000_000, "壹亿零壹拾万圆整"),
            (10_100_000_000, "壹亿零壹佰万圆整"),
            (11_000_000_000, "壹亿壹仟万圆整"),
            (100_000_000_000, "壹拾亿圆整"),
            (Amount::MAX_FEN, "玖佰玖拾玖亿玖仟玖佰玖拾玖万玖仟玖佰玖拾玖圆玖角玖分"),
            (-1, "（负数）壹分"),
            (-101_700, "（负数）壹仟零壹拾柒圆整"),
        ] {
            assert_eq!(of(fen), text, "{fen} fen");
        }
    }

    /// Reads capitals back: each digit times its place, groups closed by 万 and 亿.
    fn read(text: &str) -> i64 {
        let (sign, text) = text.strip_prefix("（负数）").map_or((1, text), |rest| (-1, rest));
        let (mut total, mut group, mut value) = (0_i64, 0_i64, 0_i64);
        for c in text.chars() {
            let place = match c {
                '拾' => 10,
                '佰' => 100,
                '仟' => 1000,
                _ => 0,
            };
            match c {
                '拾' | '佰' | '仟' => {
                    group += value * place;
                    value = 0;
                }
                '万' | '亿' | '圆' => {
                    let unit = if c == '万' {
                        1_000_000
                    } else if c == '亿' {
                        10_000_000_000
                    } else {
                        100
                    };
                    total += (group + value) * unit;
                    (group, value) = (0, 0);
                }
                '角' => {
                    total += value * 10;
                    value = 0;
                }
                '分' => total += value,
                '整' => {}
                _ => value = DIGITS.iter().position(|digit| *digit == c).expect("a digit") as i64,
            }
        }
        sign * total
    }

    proptest! {
        #[test]
        fn capitals_say_exactly_the_amount(fen in -Amount::MAX_FEN..=Amount::MAX_FEN, divisor in 0_u32..12) {
            // Round numbers too: they are where the zeros are.
            let fen = fen / 10_i64.pow(divisor) * 10_i64.pow(divisor);
            let text = of(fen);
            prop_assert_eq!(read(&text), fen);
            prop_assert!(!text.contains("零零"), "{}", text);
            prop_assert!(!text.contains("零万") && !text.contains("零亿"), "{}", text);
            prop_assert!(fen.abs() < 100 || !text.contains("零圆"), "{}", text);
        }
    }
}
