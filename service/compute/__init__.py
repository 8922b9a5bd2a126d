"""Computing suggestions: inline where that is cheap, in worker processes where it is not.

    answering   one round of a designer, checked: the same function here and in a worker, so the same point
    stand_in    the quasi-random point of a study whose algorithm was too slow or failed
    pool        who may use a worker next
    shares      what each owner has had of the workers
    process     a worker as the service sees it: what it knows of which study, what it is asked, how it ends
    worker      the worker itself
    frames      what travels between the two

A worker is this program, started again with one thread for linear algebra. It ends with the service, however that ends.
"""
