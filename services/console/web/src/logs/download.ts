/**
 * Saves the whole log of an attempt: the browser takes it from the server piece by piece, so that it is never in the page's memory.
 *
 * @throws Error - there is none, or nobody answers.
 */
export async function downloadLog(runId: string, path: string, attempt: number): Promise<void> {
  const place = `/log/${encodeURIComponent(runId)}?${new URLSearchParams({ path, attempt: String(attempt) })}`;
  // A browser says of a file that is refused only that it failed.
  const asking = new AbortController();
  const answer = await fetch(place, { signal: asking.signal });
  if (!answer.ok) throw new Error((await answer.text()).trim());
  asking.abort();
  const link = document.createElement("a");
  link.href = place;
  link.download = "";
  link.click();
}
