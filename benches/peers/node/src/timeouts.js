// Ends calls whose time is over: looks for them a few times a second. Several processes may find the same call; the first commit counts.

const BATCH = 200;

export function startTimeouts(
  {
    store,
    calls,
    config: {
      call: { pollMs },
    },
  },
  log,
) {
  let stopped = false;
  let timer;
  let running = Promise.resolve();

  async function poll() {
    let due;
    do {
      due = await store.due(Date.now(), BATCH);
      const results = await Promise.allSettled(due.map((id) => calls.wake(id)));
      const failed = results.find(({ status }) => status === 'rejected');
      if (failed) throw failed.reason;
    } while (due.length === BATCH && !stopped);
  }

  function next() {
    if (stopped) return;
    timer = setTimeout(() => {
      running = poll()
        .catch((error) => log.warn({ err: error }, 'due calls could not be ended yet'))
        .then(next);
    }, pollMs);
  }

  next();
  return {
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}
