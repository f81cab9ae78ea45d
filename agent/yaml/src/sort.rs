//! Sorting by upstream's comparisons. Not all of them are total orders, and by
//! such a one the standard library's sort may panic; this one ends in some order.

use std::cmp::Ordering;

/// Stable, and the same as `sort_by` where the order is a total one.
pub fn sorted<T>(mut items: Vec<T>, compare: &impl Fn(&T, &T) -> Ordering) -> Vec<T> {
    let middle = items.len() / 2;
    if middle == 0 {
        return items;
    }
    let mut behind = sorted(items.split_off(middle), compare).into_iter().peekable();
    let mut ahead = sorted(items, compare).into_iter().peekable();
    let mut merged = Vec::with_capacity(ahead.len() + behind.len());
    while let (Some(one), Some(other)) = (ahead.peek(), behind.peek()) {
        let is_less = compare(other, one) == Ordering::Less;
        merged.extend(if is_less { behind.next() } else { ahead.next() });
    }
    merged.extend(ahead);
    merged.extend(behind);
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some numbers in no order, each with its place.
    fn numbers(count: u64) -> Vec<(u64, u64)> {
        (0..count).map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 59, at)).collect()
    }

    #[test]
    fn a_total_order_is_that_of_the_standard_library_equal_items_included() {
        for count in [0, 1, 2, 3, 20, 1_000] {
            let mut expected = numbers(count);
            expected.sort_by_key(|item| item.0);
            assert_eq!(sorted(numbers(count), &|a, b| a.0.cmp(&b.0)), expected);
        }
    }

    #[test]
    fn an_order_that_is_none_ends_with_every_item_in_it() {
        let circle = |a: &(u64, u64), b: &(u64, u64)| match (a.0 % 3, b.0 % 3) {
            (a, b) if a == b => Ordering::Equal,
            (a, b) if (a + 1) % 3 == b => Ordering::Less,
            _ => Ordering::Greater,
        };
        let mut all = sorted(numbers(1_000), &circle);
        all.sort_unstable_by_key(|item| item.1);
        assert_eq!(all, numbers(1_000));
    }
}
