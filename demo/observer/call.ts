import type { CallEvent, CallRole, Transport } from './call-event.ts';

/** One call, put together from what its caller and its origin wrote. */
export type Call = {
  readonly id: string;
  readonly role: CallRole;
  readonly caller: string;
  readonly endpoint: string;
  /** What kind of attempt it was, for impostors and thieves. */
  readonly detail: string | null;
  readonly begunAt: number;
  readonly received: { readonly at: number; readonly transport: Transport; readonly identity: string | null } | null;
  /** Null: its caller never told how it ended. */
  readonly ended: { readonly at: number; readonly outcome: string } | null;
};

/** Joins events by call id. A call that an origin received without anybody having begun it is left to `strayIds`. */
export function joinCalls(events: readonly CallEvent[]): { readonly calls: readonly Call[]; readonly strayIds: readonly string[] } {
  const received = new Map<string, CallEvent & { readonly event: 'received' }>();
  const ended = new Map<string, CallEvent & { readonly event: 'ended' }>();
  for (const event of events) {
    if (event.event === 'received') received.set(event.id, event);
    if (event.event === 'ended') ended.set(event.id, event);
  }
  const begun = events.filter((event) => event.event === 'begun');
  const known = new Set(begun.map(({ id }) => id));
  const calls = begun.map((event): Call => {
    const arrival = received.get(event.id);
    const end = ended.get(event.id);
    return {
      id: event.id,
      role: event.role,
      caller: event.caller,
      endpoint: event.endpoint,
      detail: event.detail ?? null,
      begunAt: event.at,
      received: arrival === undefined ? null : { at: arrival.at, transport: arrival.transport, identity: arrival.identity },
      ended: end === undefined ? null : { at: end.at, outcome: end.outcome },
    };
  });
  return { calls, strayIds: [...received.keys()].filter((id) => !known.has(id)) };
}

/** Whether a call of the fleet came back with the right answer. */
export function isAnswered(call: Call): boolean {
  return call.ended?.outcome === 'ok' || call.ended?.outcome === 'answered';
}
