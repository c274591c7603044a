/** Until so many tries have failed, somebody may look at the page and wait: about two minutes. */
const EAGER = 100;

/**
 * Returns the wait before try number `attempt` + 1: longer each time, and with jitter, so that browsers do not return all at once. Who
 * comes back within the first minutes is noticed within a second and a half.
 */
export function retryDelay(attempt: number, random = Math.random): number {
  const longest = Math.min(attempt < EAGER ? 1_500 : 10_000, 500 * 2 ** Math.min(attempt, 10));
  return longest / 2 + random() * (longest / 2);
}
