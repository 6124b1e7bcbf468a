/**
 * Limits on everything that comes from the network. Each is generous for what Paceline itself sends
 * and small enough that a hostile peer can't make a process allocate or loop without bound. What
 * goes past one is answered with a PacelineError of code "protocol"; the messages name the limit.
 */

/** The most bytes of a chunk's payload: 262,144 f32 values. */
export const payloadBytesMax = 1048576;
/** The most bytes of a run's id. */
export const runBytesMax = 256;
/**
 * The most bytes of a chunk's `detail`: the marks of a chunk for 1,024 workers as JSON fit four
 * times.
 */
export const detailBytesMax = 262144;
/**
 * The most bytes that a chunk message may take: payload, both strings and the other fields with
 * their tags.
 */
export const chunkMessageBytesMax = payloadBytesMax + detailBytesMax + runBytesMax + 256;
/** The most bytes of any session message. */
export const sessionMessageBytesMax = 16777216;
/** The most bytes of a name: model, data set, tensor, host, address, code. */
export const nameBytesMax = 1024;
/** The most bytes of a sentence: reason, activity. */
export const sentenceBytesMax = 65536;
/** The most bytes of a configuration text or a status document. */
export const documentBytesMax = 4194304;
/** The most members of one role. */
export const membersMax = 4096;
/** The most chunks that a view may place. */
export const chunksMax = 2097152;
/** The most chunks that one pull call may ask for. */
export const pullChunksMax = 65536;
/** The most tensors of a model. */
export const tensorsMax = 65536;
/** The most lines of what a worker's engine chose. */
export const algorithmsMax = 1024;
/** The most bytes of one of them. */
export const algorithmBytesMax = 512;
/** The most dimensions of one tensor. */
export const dimensionsMax = 16;
/** The most lengths of staleness that a server counts apart. */
export const stalenessCountsMax = 1024;
/** The most labels of one block of examples. */
export const blockLabelsMax = 16384;
/** The most bytes of its values: with five bytes a label it stays below 1 MiB. */
export const blockValueBytesMax = 917504;
/** The most parameters of a way to keep pace. */
export const protocolParametersMax = 64;
/** The most bytes that come before a connection's hello is whole. */
export const helloBytesMax = 65536;
/** How long a caller of a guarded port may take to its first complete hello, in milliseconds. */
export const helloMsMax = 10_000;
/** The most connections of one remote address to one port. */
export const connectionsPerAddressMax = 1024;
/** Of these, the most that have not said their hello. */
export const greetingConnectionsPerAddressMax = 256;
/** So many refused registrations of one address within so many milliseconds are looked at. */
export const refusedRegistrationsMax = 120;
/** See there. */
export const refusedRegistrationsMs = 60_000;
/** Characters of a cluster's token. */
export const tokenBytesMin = 16;
/** See there. */
export const tokenBytesMax = 512;
/** Highest priority of a job; as low below 0. */
export const priorityMax = 1000;
