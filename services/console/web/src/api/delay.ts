/** Returns the wait before try number `attempt` + 1: longer each time, and with jitter, so that browsers do not return all at once. */
export function retryDelay(attempt: number, random = Math.random): number {
  const longest = Math.min(10_000, 500 * 2 ** attempt);
  return longest / 2 + random() * (longest / 2);
}
