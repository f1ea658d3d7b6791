import { randomBytes } from 'node:crypto';
import { Agent, get, request, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, get as getByHttps, request as requestByHttps } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import type { ObserverStream } from './observer-stream.ts';
import type { CallConfig, ServiceConfig } from './service-config.ts';

/** Longer than any stall of a busy machine: a call that is given up costs a new handshake, and many of them feed the stall. */
const CALL_TIMEOUT_MS = 15_000;
/** Idle connections are closed after this time. */
const IDLE_MS = 1_500;
const START_TIMEOUT_MS = 60_000;
const HEALTH_EVERY_MS = 50;

/** Calls one endpoint at a steady rate, with keep-alive and without any retry, and tells the observer of each call. */
export class Client {
  readonly #config: ServiceConfig;
  readonly #call: CallConfig;
  readonly #observer: ObserverStream;
  readonly #plain = new Agent({ keepAlive: true, scheduling: 'lifo', timeout: IDLE_MS });
  readonly #encrypted = new HttpsAgent({ keepAlive: true, scheduling: 'lifo', timeout: IDLE_MS });
  readonly #prefix = randomBytes(6).toString('hex');
  #isStopped = false;
  #count = 0;
  #open = 0;
  #emptied = Promise.withResolvers<void>();

  constructor(config: ServiceConfig, call: CallConfig, observer: ObserverStream) {
    this.#config = config;
    this.#call = call;
    this.#observer = observer;
  }

  /** Waits, as services do at their start, until what it depends on answers its health check. */
  async waitUntilHealthy(): Promise<void> {
    const deadline = Date.now() + START_TIMEOUT_MS;
    for (const url of this.#call.urls) {
      while (!this.#isStopped && !(await this.#isHealthy(url))) {
        if (Date.now() > deadline) throw new Error(`Cannot start to call ${url}: its health check does not answer`);
        await delay(HEALTH_EVERY_MS);
      }
    }
  }

  start(): void {
    const startedAt = performance.now();
    const period = 1000 / this.#call.perSecond;
    const tick = (): void => {
      if (this.#isStopped) return;
      // A machine that was busy for a moment is caught up with, so that the rate stays what the configuration says.
      const due = Math.floor((performance.now() - startedAt) / period);
      while (this.#count <= due) this.#begin();
      setTimeout(tick, startedAt + this.#count * period - performance.now());
    };
    tick();
  }

  /** No new calls; returns when the running ones have ended. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    if (this.#open > 0) await this.#emptied.promise;
    this.#plain.destroy();
    this.#encrypted.destroy();
  }

  #begin(): void {
    const { endpoint, urls } = this.#call;
    const { name: by, service: caller } = this.#config;
    const id = this.#prefix + (this.#count++).toString(16).padStart(8, '0');
    const url = urls[this.#count % urls.length]!;
    const role = 'service' as const;
    this.#open += 1;
    this.#observer.write({ event: 'begun', at: Date.now(), id, role, caller, endpoint, by });
    const end = (outcome: string): void => {
      this.#observer.write({ event: 'ended', at: Date.now(), id, role, caller, endpoint, by, outcome });
      this.#open -= 1;
      if (this.#open === 0) {
        this.#emptied.resolve();
        this.#emptied = Promise.withResolvers<void>();
      }
    };
    this.#send(url, id, onlyOnce(end));
  }

  async #isHealthy(url: string): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const receive = (response: IncomingMessage): void => {
      response.resume();
      resolve((response.statusCode ?? 500) < 300);
    };
    const target = new URL('/healthz', url);
    const call = target.protocol === 'https:' ? getByHttps(target, { agent: false }, receive) : get(target, { agent: false }, receive);
    call.setTimeout(CALL_TIMEOUT_MS, () => call.destroy());
    call.on('error', () => resolve(false));
    return promise;
  }

  #send(url: string, id: string, end: (outcome: string) => void): void {
    const body = JSON.stringify({ id, from: this.#config.service, record: this.#call.sendsRecord ? this.#config.record : null });
    const headers = { 'x-call-id': id, 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const options = { method: 'POST', path: `/v1/${this.#call.endpoint}`, headers, timeout: CALL_TIMEOUT_MS };
    const receive = (response: IncomingMessage): void => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => (text += part));
      response.on('end', () => {
        if (response.statusCode !== 200) end(`status ${response.statusCode}`);
        else end(answers(text, id) ? 'ok' : 'wrong answer');
      });
      response.on('error', (error: NodeJS.ErrnoException) => end(`answer cut off: ${error.code ?? error.message}`));
    };
    const call = url.startsWith('https:')
      ? requestByHttps(url, { ...options, agent: this.#encrypted }, receive)
      : request(url, { ...options, agent: this.#plain }, receive);
    call.on('timeout', () => call.destroy(new Error('timeout')));
    call.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
    call.end(body);
  }
}

function onlyOnce(end: (outcome: string) => void): (outcome: string) => void {
  let hasEnded = false;
  return (outcome) => {
    if (hasEnded) return;
    hasEnded = true;
    end(outcome);
  };
}

function answers(text: string, id: string): boolean {
  try {
    return (JSON.parse(text) as { readonly id?: unknown }).id === id;
  } catch {
    return false;
  }
}
