//! Who should have what: the assignors `uniform` and `range` (KIP-848), and what has to be known for them, which topics
//! an expression stands for among it. A plain function of its input: it runs where the caller likes, and for large groups
//! that is not the machine's own turn.
//!
//! `uniform` keeps what members have and gives each as many as any other, where subscriptions allow it. `range` gives each
//! member a run of every topic, the same run where topics are alike, so that equal keys meet; members keep their order.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use imbl::OrdMap;
use regex::bytes::{Regex, RegexBuilder};

use super::state::{Assignment, Member, Resolved};
use crate::auth::Principal;
use crate::kafka::group::Name;

/// The streams there are, at one instant.
pub trait Topics: fmt::Debug + Send + Sync {
    /// Two pictures of one version are the same.
    fn version(&self) -> u64;
    /// Id and number of partitions.
    fn topic(&self, name: &str) -> Option<(u128, i32)>;
    fn name(&self, id: u128) -> Option<Name>;
    fn count(&self) -> usize;
    fn visit(&self, see: &mut dyn FnMut(&Name));
    /// Whether somebody may know of it.
    fn may_see(&self, _: &Viewer, _: &str) -> bool {
        true
    }
}

/// For whom an expression is resolved: it stands for nothing they may not know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewer {
    pub principal: Principal,
    /// The address they come from.
    pub host: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    Uniform,
    Range,
}

impl Assignor {
    pub fn of(name: &str) -> Option<Assignor> {
        match name {
            "uniform" => Some(Assignor::Uniform),
            "range" => Some(Assignor::Range),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Assignor::Uniform => "uniform",
            Assignor::Range => "range",
        }
    }
}

/// Everything that an assignment depends on.
#[derive(Clone, Debug)]
pub struct Work {
    pub topics: Arc<dyn Topics>,
    pub members: OrdMap<Name, Arc<Member>>,
    pub targets: OrdMap<Name, Arc<Assignment>>,
    pub regexes: OrdMap<Name, Arc<Resolved>>,
    /// Who asked by each expression first.
    pub viewers: BTreeMap<Name, Viewer>,
    pub assignor: Assignor,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    pub hash: i64,
    /// Every expression that a member uses.
    pub regexes: BTreeMap<Name, Vec<Name>>,
    pub targets: BTreeMap<Name, Assignment>,
}

/// What an expression may grow to when it is compiled.
const REGEX_LIMIT_BYTES: usize = 256 << 10;
/// Different expressions of one group: each is kept with all that it stands for.
pub const REGEXES_LIMIT: usize = 64;
/// What all expressions of one group stand for, in bytes of names, at most: it must fit into one decision's records.
const RESOLVED_LIMIT_BYTES: usize = 8 << 20;
/// What one member can be given, in bytes of its record, at most: a million and a half of partitions.
const GIVEN_LIMIT_BYTES: usize = 12 << 20;

/// The expression as RE2 would take it: a whole name must match. `None`: malformed, or it explodes.
pub fn compile(regex: &str) -> Option<Regex> {
    let regex = unquoted(regex);
    let build = |text: &str, unicode: bool| {
        let mut builder = RegexBuilder::new(text);
        builder.unicode(unicode).size_limit(REGEX_LIMIT_BYTES).dfa_size_limit(REGEX_LIMIT_BYTES).nest_limit(64);
        builder.build().ok()
    };
    // Classes are RE2's, of ASCII, and much smaller; only `\p` needs all of Unicode.
    let build = |text: &str| build(text, false).or_else(|| build(text, true));
    // What the parentheses close must not be what the client opened.
    build(&regex)?;
    build(&format!("^(?:{regex})$"))
}

/// `\Q…\E`, which our engine does not know, as the same characters escaped one by one.
fn unquoted(regex: &str) -> Cow<'_, str> {
    if !regex.contains("\\Q") {
        return regex.into();
    }
    let (mut out, mut rest) = (String::with_capacity(regex.len()), regex);
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        if let Some(quoted) = escape.strip_prefix("\\Q") {
            let (literal, after) = quoted.split_once("\\E").unwrap_or((quoted, ""));
            out.push_str(&regex::escape(literal));
            rest = after;
        } else {
            // The backslash and what it escapes, which may be another one.
            let end = escape.char_indices().nth(2).map_or(escape.len(), |(end, _)| end);
            out.push_str(&escape[..end]);
            rest = &escape[end..];
        }
    }
    out.push_str(rest);
    out.into()
}

impl Work {
    /// About how many steps it will take.
    pub fn size(&self) -> usize {
        let mut names: BTreeSet<&Name> = BTreeSet::new();
        let mut size = self.members.len();
        for member in self.members.values() {
            names.extend(member.topics.iter());
            if member.regex.is_some() {
                size += self.topics.count();
            }
        }
        names.extend(self.regexes.values().flat_map(|resolved| &resolved.topics));
        let partitions = names.into_iter().filter_map(|name| self.topics.topic(name));
        size + partitions.map(|(_, partitions)| partitions.max(0) as usize).sum::<usize>()
    }

    pub fn run(&self) -> Outcome {
        let regexes = self.resolve();
        let mut wanted: BTreeMap<&Name, BTreeSet<&Name>> = BTreeMap::new();
        let mut all: BTreeSet<&Name> = BTreeSet::new();
        for (id, member) in &self.members {
            let mut topics: BTreeSet<&Name> = member.topics.iter().collect();
            topics.extend(member.regex.iter().filter_map(|regex| regexes.get(regex)).flatten());
            topics.retain(|name| self.topics.topic(name).is_some());
            all.extend(topics.iter().copied());
            wanted.insert(id, topics);
        }
        let found = all.iter().filter_map(|name| self.topics.topic(name).map(|(id, n)| (*name, id, n)));
        let mut topics: Vec<Topic> = found.map(|(name, id, partitions)| Topic { name, id, partitions }).collect();
        // Whoever came to have all of it must fit into a record.
        let mut room_bytes = GIVEN_LIMIT_BYTES;
        let bytes = |topic: &Topic| 32 + 8 * usize::try_from(topic.partitions).unwrap_or(0);
        topics.retain(|topic| {
            let fits = room_bytes.checked_sub(bytes(topic)).map(|left| room_bytes = left);
            fits.is_some()
        });
        let hash = hash(&topics);
        let members: Vec<Taker> = self.takers(&wanted);
        let targets = match self.assignor {
            Assignor::Range => range(&topics, &members),
            Assignor::Uniform => uniform(&topics, &members),
        };
        let named = members.iter().zip(targets).map(|(member, target)| (member.id.clone(), target));
        let targets = named.collect();
        Outcome { hash, targets, regexes }
    }

    fn resolve(&self) -> BTreeMap<Name, Vec<Name>> {
        let regexes: BTreeSet<&Name> = self.members.values().filter_map(|member| member.regex.as_ref()).collect();
        // One that nobody has asked by since the start stands for what it stood for.
        let before = |regex: &Name| self.regexes.get(regex).map(|resolved| resolved.topics.clone()).unwrap_or_default();
        let mut found: BTreeMap<Name, Vec<Name>> = BTreeMap::new();
        let mut compiled = Vec::new();
        for regex in regexes {
            let viewer = self.viewers.get(regex);
            found.insert(regex.clone(), if viewer.is_some() { Vec::new() } else { before(regex) });
            compiled.extend(viewer.map(|viewer| (regex, viewer, compile(regex))));
        }
        if found.is_empty() {
            return found;
        }
        let mut room_bytes = RESOLVED_LIMIT_BYTES;
        self.topics.visit(&mut |name| {
            for (regex, viewer, compiled) in &compiled {
                if compiled.as_ref().is_some_and(|compiled| compiled.is_match(name.as_bytes()))
                    && self.topics.may_see(viewer, name)
                    && let Some(left) = room_bytes.checked_sub(name.len() + 2)
                    && let Some(topics) = found.get_mut(*regex)
                {
                    room_bytes = left;
                    topics.push(name.clone());
                }
            }
        });
        found.values_mut().for_each(|topics| topics.sort());
        found
    }

    fn takers<'a>(&'a self, wanted: &BTreeMap<&'a Name, BTreeSet<&'a Name>>) -> Vec<Taker<'a>> {
        let nothing: &'a Assignment = const { &Assignment::new() };
        let taker = |(id, member): (&'a Name, &'a Arc<Member>)| Taker {
            id,
            key: member.instance.as_ref().unwrap_or(id),
            topics: wanted.get(id).cloned().unwrap_or_default(),
            had: self.targets.get(id).map_or(nothing, |target| target),
        };
        let mut takers: Vec<Taker> = self.members.iter().map(taker).collect();
        takers.sort_by_key(|taker| (taker.key, taker.id));
        takers
    }
}

struct Topic<'a> {
    name: &'a Name,
    id: u128,
    partitions: i32,
}

struct Taker<'a> {
    id: &'a Name,
    /// What it is ordered by: its instance if it has one, so that a static member keeps its place.
    key: &'a Name,
    topics: BTreeSet<&'a Name>,
    had: &'a Assignment,
}

/// FNV-1a over names, ids and sizes. Never zero where there is a topic.
fn hash(topics: &[Topic]) -> i64 {
    if topics.is_empty() {
        return 0;
    }
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut eat = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for topic in topics {
        eat(topic.name.as_bytes());
        eat(&topic.id.to_be_bytes());
        eat(&topic.partitions.to_be_bytes());
    }
    (hash | 1) as i64
}

fn range(topics: &[Topic], members: &[Taker]) -> Vec<Assignment> {
    let mut given = vec![Assignment::new(); members.len()];
    // One order for all topics, or equal partitions would not meet: that of the runs the members had.
    let first = |member: &Taker| member.had.values().filter_map(|p| p.first()).min().copied().unwrap_or(i32::MAX);
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|at| (first(&members[*at]), *at));
    for topic in topics {
        let takers: Vec<usize> = order.iter().copied().filter(|at| members[*at].topics.contains(topic.name)).collect();
        let (count, takers_count) = (topic.partitions, takers.len() as i32);
        let mut next = 0;
        for (nth, at) in (0..takers_count).zip(takers) {
            let share = count / takers_count + i32::from(nth < count % takers_count);
            if share > 0 {
                given[at].insert(topic.id, (next..next + share).collect());
            }
            next += share;
        }
    }
    given
}

/// How often `uniform` looks through all topics for something to move. Each look leaves loads nearer to each other, and
/// real subscriptions are level after two.
const ROUNDS: usize = 16;

fn uniform(topics: &[Topic], members: &[Taker]) -> Vec<Assignment> {
    let mut given = vec![Assignment::new(); members.len()];
    let mut loads = vec![0usize; members.len()];
    if members.is_empty() {
        return given;
    }
    let is_alike = members.windows(2).all(|pair| pair[0].topics == pair[1].topics);
    let total: usize = topics.iter().map(|topic| topic.partitions.max(0) as usize).sum();
    // Where all want the same, nobody keeps more than its share, and only as many as must have one more.
    let (share, mut extra) = match is_alike {
        true => (total / members.len(), total % members.len()),
        false => (usize::MAX, 0),
    };
    let mut free: Vec<BTreeSet<i32>> = topics.iter().map(|topic| (0..topic.partitions).collect()).collect();
    for (at, member) in members.iter().enumerate() {
        for (nth, topic) in topics.iter().enumerate().filter(|(_, topic)| member.topics.contains(topic.name)) {
            for partition in member.had.get(&topic.id).into_iter().flatten() {
                let may_keep = loads[at] < share || (loads[at] == share && extra > 0);
                if !may_keep || !free[nth].remove(partition) {
                    continue;
                }
                extra -= usize::from(loads[at] == share);
                give(&mut given[at], topic.id, *partition);
                loads[at] += 1;
            }
        }
    }
    // What few can take goes first, each to the one who has least.
    let takers_of = |topic: &Topic| -> Vec<usize> {
        (0..members.len()).filter(|at| members[*at].topics.contains(topic.name)).collect()
    };
    let takers: Vec<Vec<usize>> = topics.iter().map(takers_of).collect();
    let mut order: Vec<usize> = (0..topics.len()).collect();
    order.sort_by_key(|nth| (takers[*nth].len(), *nth));
    for nth in &order {
        let mut queue: BTreeSet<(usize, usize)> = match free[*nth].is_empty() {
            true => continue,
            false => takers[*nth].iter().map(|at| (loads[*at], *at)).collect(),
        };
        for partition in &free[*nth] {
            let Some((load, at)) = queue.pop_first() else { break };
            give(&mut given[at], topics[*nth].id, *partition);
            loads[at] += 1;
            queue.insert((load + 1, at));
        }
    }
    if !is_alike {
        level(topics, &takers, &mut given, &mut loads);
    }
    given
}

/// Moves partitions from who has more to who has less, as long as both want the topic.
fn level(topics: &[Topic], takers: &[Vec<usize>], given: &mut [Assignment], loads: &mut [usize]) {
    for _ in 0..ROUNDS {
        let mut has_moved = false;
        for (topic, takers) in topics.iter().zip(takers) {
            let mut queue: BTreeSet<(usize, usize)> = takers.iter().map(|at| (loads[*at], *at)).collect();
            let mut givers: BTreeSet<(usize, usize)> =
                queue.iter().copied().filter(|(_, at)| given[*at].contains_key(&topic.id)).collect();
            while let (Some(&(least, to)), Some(&(most, from))) = (queue.first(), givers.last()) {
                if most <= least + 1 {
                    break;
                }
                let Some(partition) = take(&mut given[from], topic.id) else { break };
                give(&mut given[to], topic.id, partition);
                has_moved = true;
                for (at, load) in [(from, most - 1), (to, least + 1)] {
                    queue.remove(&(loads[at], at));
                    givers.remove(&(loads[at], at));
                    loads[at] = load;
                    queue.insert((load, at));
                    if given[at].contains_key(&topic.id) {
                        givers.insert((load, at));
                    }
                }
            }
        }
        if !has_moved {
            return;
        }
    }
}

fn give(assignment: &mut Assignment, topic: u128, partition: i32) {
    assignment.entry(topic).or_default().insert(partition);
}

fn take(assignment: &mut Assignment, topic: u128) -> Option<i32> {
    let partitions = assignment.get_mut(&topic)?;
    let partition = partitions.pop_last();
    if partitions.is_empty() {
        assignment.remove(&topic);
    }
    partition
}
