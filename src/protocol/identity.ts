/**
 * Who speaks: a member by its role, its place and its life. A process that is started again takes
 * its rank with another incarnation, so that nobody mistakes it for its earlier self.
 */

/** The roles that register with a coordinator. */
export type MemberRole = "server" | "worker";

/** What a member is called, whatever its life. */
export interface MemberPlace {
  readonly role: MemberRole;
  /** Rank of a worker, index of a server. */
  readonly rank: number;
}

/** One life of one member. */
export interface MemberIdentity extends MemberPlace {
  /** Names this life of the process in everything it says. */
  readonly incarnation: number;
}

/** One life of one worker; pushes are known by it. */
export type WorkerIdentity = Omit<MemberIdentity, "role">;

/** Whether a member reaches a server. */
export interface ServerReach {
  readonly server: number;
  /** Of the server's life that the member's view names. */
  readonly incarnation: number;
  /** 0 where it does; else how long ago the link broke, or was first tried in vain. */
  readonly unreachedMs: number;
  /** True where the last try was refused: nobody listens at the server's address. */
  readonly refused: boolean;
}
