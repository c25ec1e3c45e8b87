//! How a member comes from what it has to what it should have (KIP-848): it gives back first, and is given only what
//! nobody else holds. A plain function of the member, its target and the owners; nothing is remembered here.

use super::state::{Assignment, Consumer, Current, Held, Phase};
use crate::kafka::group::Name;

/// What a member says it holds; `None`: nothing new.
pub type Owned<'a> = Option<&'a Assignment>;

/// The member's next state; the same as now where it must wait.
pub fn reconcile(group: &Consumer, id: &Name, current: &Current, owned: Owned) -> Current {
    let target_epoch = group.target_epoch();
    if current.is_reconciled(target_epoch) {
        return current.clone();
    }
    match current.phase {
        Phase::Stable | Phase::Unreleased | Phase::Unknown => next(group, id, current, current.epoch, owned),
        Phase::Unrevoked if holds_any(owned, &current.revoking) => current.clone(),
        // It has given everything back: it belongs to the next epoch from here on.
        Phase::Unrevoked => next(group, id, current, current.epoch + 1, owned),
    }
}

fn next(group: &Consumer, id: &Name, current: &Current, epoch: i32, owned: Owned) -> Current {
    let target_epoch = group.target_epoch();
    let nothing = Assignment::new();
    let target = group.targets.get(id).map_or(&nothing, |target| target);
    let (mut kept, mut revoking) = (Held::new(), Held::new());
    for (topic, partitions) in &current.assigned {
        for (partition, given) in partitions {
            let stays = target.get(topic).is_some_and(|wanted| wanted.contains(partition));
            let held = if stays { &mut kept } else { &mut revoking };
            held.entry(*topic).or_default().insert(*partition, *given);
        }
    }
    if !revoking.is_empty() && holds_any(owned, &revoking) {
        return moved(current, epoch.min(target_epoch), Phase::Unrevoked, kept, revoking);
    }
    let mut waits = false;
    for (topic, partitions) in target {
        for partition in partitions {
            if kept.get(topic).is_some_and(|held| held.contains_key(partition)) {
                continue;
            }
            match group.owner(*topic, *partition) {
                Some(owner) if owner != id => waits = true,
                _ => {
                    kept.entry(*topic).or_default().insert(*partition, target_epoch);
                }
            }
        }
    }
    let phase = if waits { Phase::Unreleased } else { Phase::Stable };
    moved(current, target_epoch, phase, kept, Held::new())
}

fn moved(current: &Current, epoch: i32, phase: Phase, assigned: Held, revoking: Held) -> Current {
    let previous_epoch = if epoch == current.epoch { current.previous_epoch } else { current.epoch };
    Current { epoch, previous_epoch, phase, assigned, revoking }
}

/// Who does not say what it holds is taken to hold all of it.
fn holds_any(owned: Owned, held: &Held) -> bool {
    let Some(owned) = owned else { return true };
    owned.iter().any(|(topic, partitions)| {
        held.get(topic).is_some_and(|held| partitions.iter().any(|partition| held.contains_key(partition)))
    })
}

/// Whether everything that a member says it holds is its own.
pub fn is_part_of(owned: Owned, assigned: &Held) -> bool {
    let Some(owned) = owned else { return false };
    owned.iter().all(|(topic, partitions)| {
        let held = assigned.get(topic);
        partitions.iter().all(|partition| held.is_some_and(|held| held.contains_key(partition)))
    })
}
