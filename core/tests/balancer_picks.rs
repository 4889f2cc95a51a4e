//! The circle of weighted picks (DESIGN.md, section 5): exact shares at every prefix, near even gaps, and round robin
//! where weights are equal.

use grpclb_core::balancer::{Position, SubchannelId, Table};

/// 2 M picks where the compiler optimizes, less where it does not.
const PICKS: u64 = if cfg!(debug_assertions) { 100_000 } else { 2_000_000 };
const MOST_ENDPOINTS: usize = if cfg!(debug_assertions) { 1_000 } else { 10_000 };

fn words(weights: &[u32]) -> (grpclb_core::balancer::Shape, Vec<u32>) {
    let mut words = vec![u32::MAX; Table::words_for(weights.len())];
    let endpoints = weights
        .iter()
        .enumerate()
        .map(|(index, weight)| (SubchannelId { index: index as u16, generation: 7 }, *weight));
    let shape = Table::build(endpoints, &mut words).unwrap();
    assert!(shape.words() <= words.len());
    assert_eq!(shape.endpoints(), weights.len());
    (shape, words)
}

fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    *state >> 33
}

fn shuffled(mut weights: Vec<u32>) -> Vec<u32> {
    let mut state = 5;
    for i in (1..weights.len()).rev() {
        weights.swap(i, random(&mut state) as usize % (i + 1));
    }
    weights
}

/// The sets that peers were measured with.
fn sets() -> Vec<(String, Vec<u32>)> {
    let mut sets = Vec::new();
    for n in [2, 3, 10, 100, 1_000, 10_000].into_iter().filter(|n| *n <= MOST_ENDPOINTS) {
        let mut state = n as u64;
        let mut add = |name: &str, weights: Vec<u32>| sets.push((format!("{name}, n={n}"), weights));
        add("near", (0..n).map(|_| 80 + random(&mut state) as u32 % 41).collect());
        add("zipf", shuffled((0..n).map(|i| (1_000_000 / (i + 1)) as u32).collect()));
        add(
            "one wants 90 %",
            shuffled((0..n).map(|i| if i == 0 { 9 * (n as u32 - 1) } else { 1 }).collect()),
        );
        add("half 10, half 1", (0..n).map(|i| if i < n / 2 { 10 } else { 1 }).collect());
        add("1 to 100", (0..n).map(|_| 1 + random(&mut state) as u32 % 100).collect());
    }
    // Where the peers' clamps change the shares.
    for weights in [vec![99, 1], vec![999, 1], vec![u32::MAX, 1, u32::MAX]] {
        sets.push((format!("{weights:?}"), weights));
    }
    for (n, heavy, last) in [(9, 100, 1), (19, 100, 1), (49, 1, 49), (99, 1, 99), (999, 1, 999)] {
        let mut weights = vec![heavy; n];
        weights.push(last);
        sets.push((format!("{n} × {heavy} and {last}"), weights));
    }
    sets
}

/// |count − t·p| for all prefixes, at the picks of each endpoint (it is largest just before or just after one), and the
/// largest gap times p.
fn deviation_and_gap(table: &Table<'_>, weights: &[u32], start: u64) -> (f64, f64) {
    let total: f64 = weights.iter().map(|w| f64::from(*w)).sum();
    let shares: Vec<f64> = weights.iter().map(|w| f64::from(*w) / total).collect();
    let mut count = vec![0u64; weights.len()];
    let mut last = vec![None; weights.len()];
    let (mut deviation, mut gap) = (0f64, 0f64);
    for t in 0..PICKS {
        let id = table.at(start.wrapping_add(t)).unwrap();
        assert_eq!(id.generation, 7);
        let i = id.index as usize;
        let before = count[i] as f64 - t as f64 * shares[i];
        count[i] += 1;
        let after = count[i] as f64 - (t + 1) as f64 * shares[i];
        deviation = deviation.max(before.abs()).max(after.abs());
        if let Some(last) = last[i].replace(t) {
            gap = gap.max((t - last) as f64 * shares[i]);
        }
    }
    for (count, share) in count.iter().zip(&shares) {
        deviation = deviation.max((*count as f64 - PICKS as f64 * share).abs());
    }
    (deviation, gap)
}

#[test]
fn shares_are_exact_within_6_picks_at_every_prefix_and_gaps_within_2_5() {
    for (name, weights) in sets() {
        let (shape, words) = words(&weights);
        let (deviation, gap) = deviation_and_gap(&Table::new(shape, &words), &weights, 0);
        assert!(deviation <= 6.0, "{name}: {deviation}");
        assert!(gap <= 2.5, "{name}: {gap}");
    }
}

#[test]
fn wherever_the_position_begins() {
    let weights: Vec<u32> = shuffled((0..100).map(|i| 100_000 / (i + 1)).collect());
    let (shape, words) = words(&weights);
    for start in [1, 12_345_678_901, u64::from(u32::MAX) - PICKS / 2, u64::MAX - PICKS / 2] {
        let (deviation, gap) = deviation_and_gap(&Table::new(shape, &words), &weights, start);
        // Any interval, not only a prefix.
        assert!(deviation <= 7.5 && gap <= 2.5, "{start}: {deviation} {gap}");
    }
}

#[test]
fn equal_weights_take_turns_exactly() {
    for (n, weight) in [(1, 1), (2, 1), (3, 7), (7, u32::MAX), (1_000, 3)] {
        let weights = vec![weight; n];
        let (shape, words) = words(&weights);
        assert_eq!(shape.words(), n);
        let table = Table::new(shape, &words);
        let start = u64::from(u32::MAX) - 5; // 32 bits are not where it wraps
        for k in 0..3 * n as u64 + 20 {
            let expected = (start + k) % n as u64;
            assert_eq!(u64::from(table.at(start + k).unwrap().index), expected);
        }
    }
}

#[test]
fn all_of_the_circle_is_laid_out_as_weighed() {
    // Every 2^12th place: the lookup agrees with a plain search.
    for (name, weights) in sets() {
        let (shape, words) = words(&weights);
        let table = Table::new(shape, &words);
        let total: u128 = weights.iter().map(|w| u128::from(*w)).sum();
        let mut ends = Vec::new();
        let mut sum = 0u128;
        for weight in &weights {
            sum += u128::from(*weight);
            ends.push(sum);
        }
        if weights.iter().all(|w| w == &weights[0]) {
            continue;
        }
        let mut k = 0u64;
        for _ in 0..20_000 {
            k += 104_729;
            let place = (k as u32).wrapping_mul(2_654_435_521);
            let at = u128::from(place) * total; // out of total · 2^32
            let index = usize::from(table.at(k).unwrap().index);
            let (low, high) = (if index == 0 { 0 } else { ends[index - 1] } << 32, ends[index] << 32);
            // A boundary may lie one place off: it is rounded down.
            let slack = total * if total >> 32 == 0 { 1 } else { 4 };
            assert!(at + slack >= low && at < high + slack, "{name}: pick {k}");
        }
    }
}

#[test]
fn the_position_survives_a_change_of_weights() {
    let (weights, changed) = ([10, 20, 30, 40], [10, 20, 31, 40]);
    let (a, b) = (words(&weights), words(&changed));
    let (a, b) = (Table::new(a.0, &a.1), Table::new(b.0, &b.1));
    let moved = (0..10_000).filter(|k| a.at(*k) != b.at(*k)).count();
    assert!(moved < 200, "a small change moves few picks: {moved}");
    let position = Position::new(41);
    assert_eq!(a.pick(&position), a.at(41));
    assert_eq!(b.pick(&position), b.at(42));
}

#[test]
fn wrong_words_give_no_panic() {
    let (shape, words) = words(&[1, 2, 3, 4, 5]);
    for n in 0..words.len() {
        let table = Table::new(shape, &words[..n]);
        (0..100).for_each(|k| _ = table.at(k));
    }
    let garbage: Vec<u32> = (0..words.len() as u32).map(|i| i.wrapping_mul(0x9e37_79b9)).collect();
    (0..1000).for_each(|k| _ = Table::new(shape, &garbage).at(k));
    assert_eq!(Table::new(Default::default(), &[]).at(3), None);
}

#[test]
fn one_position_for_many_threads() {
    let weights = [1, 2, 4, 8];
    let (shape, words) = words(&weights);
    let table = Table::new(shape, &words);
    let position = Position::new(0);
    let each = 15_000u32;
    let counts = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut count = [0u32; 4];
                    for _ in 0..each {
                        count[usize::from(table.pick(&position).unwrap().index)] += 1;
                    }
                    count
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).fold([0u32; 4], |mut sum, count| {
            sum.iter_mut().zip(count).for_each(|(sum, n)| *sum += n);
            sum
        })
    });
    for (count, weight) in counts.iter().zip(weights) {
        assert!(count.abs_diff(each * 4 * weight / 15) <= 6, "{counts:?}");
    }
}
