import type { AccessLogName } from '../../core/envoy/access-log-name.ts';
import type { Outcome } from '../tls/counters.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import type { AccessLogDeps } from './access-log-deps.ts';
import type { ConnectionBook } from './connection-book.ts';
import { passingRefusal, streamReason } from './failure-words.ts';
import type { ConnectionFacts } from './log-entry.ts';
import type { PortIndex } from './port-index.ts';

type Deps = Pick<AccessLogDeps, 'generationAt' | 'countersAt' | 'clock' | 'log'>;

/** What Envoy's access logs say of connections whose TLS ends elsewhere: nothing of who called, only that they were carried, or why not. */
export class CarriedLog {
  readonly #book: ConnectionBook;
  readonly #deps: Deps;

  constructor(book: ConnectionBook, deps: Deps) {
    this.#book = book;
    this.#deps = deps;
  }

  /** False of what is not passed through. */
  takes(place: AccessLogName, facts: ConnectionFacts, { carried, shared }: PortIndex): boolean {
    if (place.channel === 'passthrough' || carried.has(place.endpointId)) {
      if (carried.has(place.endpointId)) this.#carry(place.endpointId, facts);
      return true;
    }
    const port = shared.get(place.endpointId);
    if (port === undefined) return false;
    // What names nobody belongs to no endpoint: it counts at the taker of such, else at the first.
    const { endpointId } = port.unknown ?? port.routes[0]!;
    const reason = passingRefusal(facts);
    if (reason !== null) this.#refuse(endpointId, facts, reason);
    return true;
  }

  #carry(endpointId: string, facts: ConnectionFacts): void {
    if (facts.isOver && !facts.wentOn) {
      // By its name it came here, so what kept it from its next hop is a name too deep, or the limit of connections.
      this.#refuse(endpointId, facts, passingRefusal(facts) ?? 'limit-exceeded');
      return;
    }
    const isNew = this.#book.begin(facts.connection, { endpointId, caller: '', channel: 'passthrough' });
    if (isNew) this.#count(endpointId, facts, 'accepted', null);
    if (!facts.isOver) return;
    const reason = streamReason(facts);
    if (reason !== null) this.#count(endpointId, facts, 'failed', reason);
    this.#book.end(facts.connection);
  }

  #refuse(endpointId: string, facts: ConnectionFacts, reason: RefusalReason): void {
    this.#count(endpointId, facts, 'refused', reason);
    this.#deps.log('warn', 'connection refused', { endpoint: endpointId, reason, remote: facts.remote });
  }

  #count(endpointId: string, facts: ConnectionFacts, outcome: Outcome, reason: RefusalReason | null): void {
    const { generationAt, countersAt, clock } = this.#deps;
    countersAt(facts.endedAt ?? clock.now()).count({
      side: 'receiver',
      endpointId,
      caller: '',
      generation: generationAt(facts.startedAt),
      channel: 'passthrough',
      unit: 'connection',
      outcome,
      reason,
    });
  }
}
