//! Discount pairs (yonyou-open-api.md, section 1.3): found by HH and ZKHHH, or by standing next to each other where a client
//! leaves these out; afterwards the discount stands directly after its line, as the disks want it.

use super::read::Faults;
use super::{Document, Fault, Line, LineKind};

/// Puts every discount line behind its partner.
///
/// # Errors
/// A discounted line without its discount, or the other way round; a discount that is not below zero.
pub fn pair(mut document: Document) -> Result<Document, Vec<Fault>> {
    let mut found = Faults::default();
    let lines = &document.lines;
    let mut used = vec![false; lines.len()];
    let mut ordered: Vec<Line> = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        match line.kind {
            LineKind::Discount => {}
            LineKind::Normal => ordered.push(line.clone()),
            LineKind::Discounted => {
                ordered.push(line.clone());
                match partner(lines, index, &used) {
                    Some(partner) => {
                        used[partner] = true;
                        ordered.push(lines[partner].clone());
                    }
                    None => found.add(format!("items[{index}].ZKHHH"), "discount_pair", "被折扣行没有对应的折扣行"),
                }
            }
        }
    }
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| line.kind == LineKind::Discount) {
        if !used[index] {
            found.add(format!("items[{index}].HH"), "discount_pair", "折扣行没有对应的被折扣行（ZKHHH 应等于本行 HH）");
        }
        if document.gross.is_sign_positive() && !line.gross.is_sign_negative() {
            found.add(format!("items[{index}].XMJSHJ"), "discount_sign", "折扣行的价税合计应为负数");
        }
    }
    document.lines = ordered;
    found.or(document)
}

fn partner(lines: &[Line], index: usize, used: &[bool]) -> Option<usize> {
    let wanted = lines[index].discount_number.as_str();
    let is_free = |at: usize| lines.get(at).is_some_and(|line| line.kind == LineKind::Discount) && !used[at];
    if wanted.is_empty() {
        return Some(index + 1).filter(|next| is_free(*next));
    }
    (0..lines.len()).find(|at| is_free(*at) && lines[*at].number == wanted)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn line(kind: LineKind, number: &str, discount: &str, gross: i64) -> Line {
        Line { kind, number: number.to_owned(), discount_number: discount.to_owned(), gross: gross.into(), ..Line::default() }
    }

    fn order(lines: Vec<Line>) -> Result<Vec<String>, Vec<String>> {
        let document = Document { gross: 1.into(), lines, ..Document::default() };
        let numbers = |document: Document| document.lines.into_iter().map(|line| line.number).collect();
        pair(document).map(numbers).map_err(|faults| faults.into_iter().map(|fault| fault.field).collect())
    }

    #[test]
    fn pairs_are_found_wherever_the_discount_stands() {
        use LineKind::{Discount, Discounted, Normal};
        let before = vec![line(Discount, "1", "", -1), line(Normal, "2", "", 1), line(Discounted, "3", "1", 2)];
        assert_eq!(order(before).unwrap(), ["2", "3", "1"]);
        let near = vec![line(Discounted, "a", "", 2), line(Discount, "b", "", -1), line(Normal, "c", "", 1)];
        assert_eq!(order(near).unwrap(), ["a", "b", "c"]);
        let same = vec![
            line(Discounted, "a", "x", 2),
            line(Discounted, "b", "x", 2),
            line(Discount, "x", "", -1),
            line(Discount, "x", "", -1),
        ];
        assert_eq!(order(same).unwrap(), ["a", "x", "b", "x"]);
    }

    #[test]
    fn half_a_pair_is_refused() {
        use LineKind::{Discount, Discounted};
        assert_eq!(order(vec![line(Discounted, "1", "9", 2)]).unwrap_err(), ["items[0].ZKHHH"]);
        assert_eq!(order(vec![line(Discount, "1", "", -2)]).unwrap_err(), ["items[0].HH"]);
        let positive = vec![line(Discounted, "1", "2", 2), line(Discount, "2", "", 1)];
        assert_eq!(order(positive).unwrap_err(), ["items[1].XMJSHJ"]);
    }
}
