# Where structs keep their fields, for the modules written in Cython.
from cpython.ref cimport PyObject

cdef extern from *:
    """
    #include <structmember.h>
    #define MEMBER_OFFSET(descriptor) (((PyMemberDescrObject *)(descriptor))->d_member->offset)
    #define IS_MEMBER(descriptor) (Py_TYPE(descriptor) == &PyMemberDescr_Type && ((PyMemberDescrObject *)(descriptor))->d_member->type == T_OBJECT_EX)
    """
    Py_ssize_t MEMBER_OFFSET(PyObject *descriptor)
    bint IS_MEMBER(PyObject *descriptor)


cdef inline Py_ssize_t offset_of(event_type, name) except -1:
    """Where the structs of a type have a field, in bytes from their beginning. Raises ``ValueError`` if they have no such field."""
    member = getattr(event_type, name, None)
    if not IS_MEMBER(<PyObject *>member):
        raise ValueError(f"{name} is no field of {event_type.__name__}")
    return MEMBER_OFFSET(<PyObject *>member)


cdef inline PyObject *field_at(event, Py_ssize_t offset) noexcept:
    cdef PyObject *value = (<PyObject **>(<char *><void *>event + offset))[0]
    return <PyObject *>None if value == NULL else value
