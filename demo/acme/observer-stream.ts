import { request, type ClientRequest } from 'node:http';
import type { CallEvent } from '../observer/call-event.ts';

const FLUSH_EVERY_MS = 200;

/** One long HTTP request to the observer: events leave in batches, and `end` returns when the observer has them all. */
export class ObserverStream {
  #pending = '';
  readonly #request: ClientRequest;
  readonly #timer: NodeJS.Timeout;
  readonly #answered: Promise<void>;

  constructor(url: string) {
    this.#request = request(`${url}/events`, { method: 'POST', headers: { 'content-type': 'application/x-ndjson' } });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#answered = promise;
    this.#request.on('response', (response) => response.resume().on('end', () => resolve()));
    // An observer that is gone makes the run worthless: say so and end.
    this.#request.on('error', reject);
    promise.catch((error: unknown) => {
      console.error('the observer is gone', error);
      process.exit(3);
    });
    this.#request.flushHeaders();
    this.#timer = setInterval(() => this.#flush(), FLUSH_EVERY_MS);
  }

  write(event: CallEvent): void {
    this.#pending += `${JSON.stringify(event)}\n`;
  }

  async end(): Promise<void> {
    clearInterval(this.#timer);
    this.#flush();
    this.#request.end();
    await this.#answered;
  }

  #flush(): void {
    if (this.#pending === '') return;
    this.#request.write(this.#pending);
    this.#pending = '';
  }
}
