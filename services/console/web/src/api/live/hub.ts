import type { Fault } from "../fault";

/** What one page follows: the request for it without a key and a cursor, which belong to the hub. */
export interface Wanted<T> {
  readonly topic: T;
  /** The shortest time between two updates, milliseconds. */
  readonly intervalMs: number;
}

/** One topic as a stream is opened with it. */
export interface OpenTopic<T> extends Wanted<T> {
  readonly key: string;
  readonly cursor: string;
}

/** What the hub reads of a response; the rest is the page's. */
export interface Response {
  readonly key: string;
  readonly cursor: string;
  readonly snapshot: boolean;
}

/** How the stream stands. */
export type LineState =
  | { readonly state: "good"; readonly at: number }
  /** Nothing is followed, so nothing is known. */
  | { readonly state: "idle" }
  | { readonly state: "lost" | "signed-out"; readonly fault: Fault };

export interface HubOptions<T, R extends Response> {
  /** Opens one stream for these topics. */
  readonly open: (topics: readonly OpenTopic<T>[], signal: AbortSignal) => AsyncIterable<R>;
  readonly deliver: (key: string, response: R) => void;
  readonly tell: (state: LineState) => void;
  /** Why a stream has ended. */
  readonly faultOf: (error: unknown) => Fault;
  /** Milliseconds before try number `failures`. */
  readonly delay: (failures: number) => number;
  readonly now?: () => number;
  /** The server gives a sign of life every five seconds: after so long without one, the stream is dead. */
  readonly silenceMs?: number;
  /** Topics that come and go within this time open one stream. */
  readonly settleMs?: number;
}

interface Followed<T> extends Wanted<T> {
  cursor: string;
}

/**
 * Follows the topics of all pages by one stream. When it breaks, the hub opens another one that goes on at the cursors, so that nothing
 * is lost, and what comes twice are states that do no harm.
 */
export class Hub<T, R extends Response> {
  private readonly topics = new Map<string, Followed<T>>();
  private abort: AbortController | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private watchdog: ReturnType<typeof setTimeout> | undefined;
  private failures = 0;
  /** When it was last told that the stream is good; 0 when something else was told since. */
  private goodAt = 0;

  constructor(private readonly options: HubOptions<T, R>) {}

  follow(key: string, wanted: Wanted<T>): void {
    this.topics.set(key, { ...wanted, cursor: "" });
    this.schedule(this.options.settleMs ?? 20);
  }

  drop(key: string): void {
    if (this.topics.delete(key)) this.schedule(this.options.settleMs ?? 20);
  }

  /** Changes how often a topic is told: a hidden page needs it once a second. */
  pace(key: string, intervalMs: number): void {
    const followed = this.topics.get(key);
    if (!followed || followed.intervalMs === intervalMs) return;
    this.topics.set(key, { ...followed, intervalMs });
    this.schedule(this.options.settleMs ?? 20);
  }

  /** Tries at once: the browser is online again, or somebody asks. */
  wake(): void {
    this.failures = 0;
    this.schedule(0);
  }

  /** Gives the stream up: the browser knows that it is offline, and would only hear so by silence. */
  cut(): void {
    if (this.topics.size === 0) return;
    this.abort?.abort();
    this.abort = undefined;
    clearTimeout(this.watchdog);
    this.lose(OFFLINE);
  }

  private schedule(ms: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.run(), ms);
  }

  private async run(): Promise<void> {
    this.abort?.abort();
    clearTimeout(this.watchdog);
    if (this.topics.size === 0) {
      this.abort = undefined;
      this.tell({ state: "idle" });
      return;
    }
    const abort = new AbortController();
    this.abort = abort;
    const fault = await this.read(abort);
    if (this.abort !== abort) return;
    clearTimeout(this.watchdog);
    // Who is signed out stays so until somebody signs in: `wake` is for that.
    if (fault.kind === "signed-out") this.tell({ state: "signed-out", fault });
    else this.lose(fault);
  }

  private lose(fault: Fault): void {
    this.tell({ state: "lost", fault });
    this.failures += 1;
    this.schedule(this.options.delay(this.failures));
  }

  /** Reads until the stream ends, and returns why it did. */
  private async read(abort: AbortController): Promise<Fault> {
    try {
      this.guard(abort);
      const topics = [...this.topics].map(([key, { topic, intervalMs, cursor }]) => ({
        key,
        topic,
        intervalMs,
        cursor,
      }));
      for await (const response of this.options.open(topics, abort.signal)) {
        if (abort.signal.aborted) break;
        this.guard(abort);
        this.take(response);
      }
    } catch (error) {
      return this.options.faultOf(error);
    }
    return { kind: "away", title: "The connection was closed", message: "The server has closed the stream." };
  }

  private take(response: R): void {
    this.failures = 0;
    this.noteGood((this.options.now ?? Date.now)());
    const followed = this.topics.get(response.key);
    if (!followed) return;
    if (response.cursor !== "") followed.cursor = response.cursor;
    this.options.deliver(response.key, response);
  }

  /** Tells so a few times a second, not with each of the responses. */
  private noteGood(at: number): void {
    if (at - this.goodAt < GOOD_MS) return;
    this.options.tell({ state: "good", at });
    this.goodAt = at;
  }

  private tell(state: LineState): void {
    this.goodAt = 0;
    this.options.tell(state);
  }

  private guard(abort: AbortController): void {
    clearTimeout(this.watchdog);
    this.watchdog = setTimeout(() => {
      if (this.abort === abort) this.lose(SILENT);
    }, this.options.silenceMs ?? 15_000);
  }
}

const GOOD_MS = 300;
const SILENT: Fault = { kind: "away", title: "The server has gone silent", message: "Nothing came for 15 seconds." };
const OFFLINE: Fault = { kind: "away", title: "This browser is offline", message: "It has no network." };
