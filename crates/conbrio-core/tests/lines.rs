//! The buffer of lines against a list of bytes that is searched from its beginning each time.

use conbrio_core::lines::{Found, Lines};
use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};

/// What a run does to both.
#[derive(Clone, Debug)]
enum Deed {
    Extend(Vec<u8>),
    Consume(usize),
    Find(Vec<Vec<u8>>),
    Take(Vec<Vec<u8>>),
    Clear,
}

/// Few different bytes, so that separators are found and nearly found.
fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![Just(b'a'), Just(b'\r'), Just(b'\n')], 0..most)
}

fn separators() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(bytes(4), 1..4).prop_map(|mut separators| {
        separators.retain(|separator| !separator.is_empty());
        separators.sort_by_key(Vec::len);
        separators
    })
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        6 => bytes(12).prop_map(Deed::Extend),
        3 => (0_usize..10).prop_map(Deed::Consume),
        4 => separators().prop_map(Deed::Find),
        4 => separators().prop_map(Deed::Take),
        1 => any::<()>().prop_map(|()| Deed::Clear),
    ]
}

/// The slow obvious form: the first end at which any separator is a suffix, the shortest of them.
fn find(held: &[u8], separators: &[&[u8]]) -> Option<Found> {
    (1..=held.len()).find_map(|end| {
        let suffix = separators.iter().find(|one| held[..end].ends_with(one))?;
        Some(Found {
            start: end - suffix.len(),
            end,
        })
    })
}

proptest! {
    #[test]
    fn behaves_as_a_list_of_bytes(deeds in prop::collection::vec(deed(), 0..200)) {
        let (mut lines, mut model) = (Lines::new(), Vec::<u8>::new());
        for deed in deeds {
            match deed {
                Deed::Extend(bytes) => {
                    lines.extend(&bytes);
                    model.extend(&bytes);
                }
                Deed::Consume(count) => {
                    prop_assert_eq!(lines.front(count), &model[..count.min(model.len())]);
                    lines.consume(count);
                    model.drain(..count.min(model.len()));
                }
                Deed::Find(separators) => {
                    let separators: Vec<&[u8]> = separators.iter().map(Vec::as_slice).collect();
                    prop_assert_eq!(lines.find(&separators), find(&model, &separators));
                }
                Deed::Take(separators) => {
                    let separators: Vec<&[u8]> = separators.iter().map(Vec::as_slice).collect();
                    let found = lines.find(&separators);
                    prop_assert_eq!(found, find(&model, &separators));
                    let end = found.map_or(0, |found| found.end);
                    lines.consume(end);
                    model.drain(..end);
                }
                Deed::Clear => {
                    lines.clear();
                    model.clear();
                }
            }
            prop_assert_eq!(lines.held(), model.as_slice());
            prop_assert_eq!(lines.len(), model.len());
        }
    }
}
