//! The heap of timers against a list that is looked through.

use conbrio_core::timers::{Key, Timers};
use proptest::prelude::{
    Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
};

/// What a run does to both.
#[derive(Clone, Debug)]
enum Deed {
    Push(f64),
    Cancel(usize),
    CancelLast,
    Pop(f64),
    Ask,
}

fn deed() -> impl Strategy<Value = Deed> {
    let moment = || (0_u8..20).prop_map(f64::from);
    prop_oneof![
        4 => moment().prop_map(Deed::Push),
        3 => any::<usize>().prop_map(Deed::Cancel),
        1 => Just(Deed::CancelLast),
        1 => moment().prop_map(Deed::Pop),
        1 => Just(Deed::Ask),
    ]
}

/// The slow obvious form: looks through everything.
#[derive(Default)]
struct Model {
    waiting: Vec<(f64, usize)>,
}

impl Model {
    fn first(&self) -> Option<usize> {
        (0..self.waiting.len()).min_by(|&one, &two| {
            self.waiting[one]
                .0
                .total_cmp(&self.waiting[two].0)
                .then(one.cmp(&two))
        })
    }

    fn pop_due(&mut self, before: f64) -> Option<usize> {
        let first = self
            .first()
            .filter(|&first| self.waiting[first].0 < before)?;
        Some(self.waiting.remove(first).1)
    }

    fn cancel(&mut self, number: usize) -> Option<usize> {
        let place = self
            .waiting
            .iter()
            .position(|waiting| waiting.1 == number)?;
        Some(self.waiting.remove(place).1)
    }
}

proptest! {
    #[test]
    fn behaves_as_a_sorted_list(
        deeds in prop::collection::vec(deed(), 0..400)
    ) {
        let (mut timers, mut model) = (Timers::new(), Model::default());
        let mut keys: Vec<Key> = Vec::new();
        for deed in deeds {
            match deed {
                Deed::Push(moment) => {
                    model.waiting.push((moment, keys.len()));
                    keys.push(timers.push(moment, keys.len()));
                }
                Deed::Cancel(number) if !keys.is_empty() => {
                    let number = number % keys.len();
                    prop_assert_eq!(timers.cancel(keys[number]), model.cancel(number));
                }
                Deed::CancelLast if !keys.is_empty() => {
                    let number = keys.len() - 1;
                    prop_assert_eq!(timers.cancel(keys[number]), model.cancel(number));
                }
                Deed::Cancel(_) | Deed::CancelLast => {}
                Deed::Pop(before) => prop_assert_eq!(timers.pop_due(before), model.pop_due(before)),
                // What is pushed finds its place only when somebody asks.
                Deed::Ask => {
                    let first = model.first().map(|first| model.waiting[first].0);
                    prop_assert_eq!(timers.next_deadline(), first);
                }
            }
            prop_assert_eq!(timers.len(), model.waiting.len());
            prop_assert_eq!(timers.iter().count(), model.waiting.len());
        }
        model.waiting.sort_by(|one, two| one.0.total_cmp(&two.0));
        let left: Vec<_> = model.waiting.iter().map(|waiting| waiting.1).collect();
        prop_assert_eq!(std::iter::from_fn(|| timers.pop_due(f64::INFINITY)).collect::<Vec<_>>(), left);
        prop_assert!(timers.is_empty());
    }
}
