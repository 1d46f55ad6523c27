// One shared isolate: workerd.
export default {
  async fetch(request) {
    const { n } = await request.json();
    return Response.json({ n: n + 1 });
  },
};
