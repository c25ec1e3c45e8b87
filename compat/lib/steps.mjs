// Named steps that print the result lines compat scripts understand: PASS name, FAIL name: why, SKIP name: why.

/** A step that was not run, and why. */
export class Skip extends Error {}

/** Runs one step; its failure ends this step only. */
export async function step(name, run, limitMs = 60_000) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done in ${limitMs} ms`)), limitMs);
  });
  try {
    await Promise.race([run(), limit]);
    console.log(`PASS ${name}`);
  } catch (error) {
    const why = `${error.name}: ${error.message}`.replace(/\s+/g, ' ').slice(0, 240);
    if (error instanceof Skip) console.log(`SKIP ${name}: ${error.message}`);
    else {
      console.error(error);
      console.log(`FAIL ${name}: ${why}`);
    }
  } finally {
    clearTimeout(timer);
  }
}

export function equal(got, expected, what) {
  const [g, e] = [JSON.stringify(got), JSON.stringify(expected)];
  if (g !== e) throw new Error(`${what}: expected ${e?.slice(0, 100)}, got ${g?.slice(0, 100)}`);
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until the condition holds. */
export async function within(ms, condition, what) {
  const end = Date.now() + ms;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await sleep(50);
  }
}
