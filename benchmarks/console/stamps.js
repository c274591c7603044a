// Notes in a page when what is live passes through it, in microseconds since the epoch. It waits for nothing by frames: a page that asks
// for each frame is drawn by the browser sixty times a second, and pays for the measuring.
(() => {
  const now = () => Math.round((performance.timeOrigin + performance.now()) * 1000);
  // Each is [event, time]; `made` and `heard` tell of one response.
  const stamps = { made: [], heard: [], shown: [], painted: [] };
  window.stamps = stamps;

  // What a WatchResponse says of itself: its cursor begins with the event after which the run stands.
  const KEY = 1, CURSOR = 2, TIME_US = 4, RUN = 6;
  const read = (bytes) => {
    let at = 0, cursor = "", timeUs = 0, isRun = false;
    const varint = () => {
      let value = 0, times = 1, byte;
      do {
        byte = bytes[at++];
        value += (byte & 127) * times;
        times *= 128;
      } while (byte > 127);
      return value;
    };
    while (at < bytes.length) {
      const tag = varint();
      const field = Math.floor(tag / 8);
      if ((tag & 7) === 0) {
        const value = varint();
        if (field === TIME_US) timeUs = value;
      } else {
        const length = varint();
        if (field === CURSOR) cursor = new TextDecoder().decode(bytes.subarray(at, at + length));
        isRun ||= field === RUN;
        at += length;
      }
    }
    if (isRun) stamps.made.push([Number(cursor.split(":")[0]), timeUs]);
    return isRun;
  };
  const told = Object.getOwnPropertyDescriptor(MessagePort.prototype, "onmessage");
  Object.defineProperty(MessagePort.prototype, "onmessage", {
    ...told,
    set(take) {
      told.set.call(this, (event) => {
        const at = now();
        if (event.data?.response && read(event.data.response)) stamps.heard.push([stamps.made.at(-1)[0], at]);
        take.call(this, event);
      });
    },
  });

  // The event that the scrubber shows. A task that is asked for in a frame runs when the frame's layout and painting are done.
  let last = 0;
  const after = new MessageChannel();
  after.port1.addEventListener("message", ({ data }) => stamps.painted.push([data, now()]));
  after.port1.start();
  window.followScrubber = () => {
    const footer = document.querySelector("footer");
    new MutationObserver(() => {
      const found = [...footer.querySelectorAll("span")].map((each) => /^([\d\D]*) \/ /.exec(each.textContent));
      const seq = Number((found.find(Boolean)?.[1] ?? "").replace(/\D/g, ""));
      if (seq <= last) return;
      last = seq;
      stamps.shown.push([seq, now()]);
      after.port2.postMessage(seq);
    }).observe(footer, { subtree: true, childList: true, characterData: true });
  };
})();
